// Which process this is, in a form that another process of the same host can check for life.
#pragma once

#include <cstdint>
#include <string>

namespace gaggle {

struct ProcessId {
  std::string host;    // for people
  std::string kernel;  // boot id and pid namespace: pids compare only where this is equal
  int64_t pid = 0;
  uint64_t start_ticks = 0;  // since boot: tells a reused pid
};

const ProcessId& this_process();

enum class Life { alive, gone, unknown };  // unknown: of another host, another container
Life life_of(const ProcessId& process);

// "9f3c…-PID-START": no other process has it, on any host; for names of files that are being written.
std::string file_tag(const ProcessId& process);
// The life of a process named by its tag, whatever follows after another "-"; unknown where that is no tag.
Life life_of_tag(const std::string& text);

}  // namespace gaggle
