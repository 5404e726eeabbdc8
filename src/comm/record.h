// The last collectives of a process, for the message when one of them does not finish.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace gaggle {

struct CollectiveEntry {
  const char* verb = "";
  uint64_t number = 0;  // counts this communicator's collectives from 1
  size_t bytes = 0;     // sent and received by this rank
  double started = 0;   // monotonic seconds
  double took = -1;     // -1: not finished
};

// Of one communicator on one rank; used by the thread that calls its verbs.
class CollectiveRecord {
 public:
  uint64_t begin(const char* verb, size_t bytes);  // its number
  void end();
  void end(uint64_t number);  // of one that others have followed already
  const CollectiveEntry& last() const { return ring_[count_ % ring_.size()]; }
  // "all_gather (collective 17)"
  std::string last_text() const;
  // One line each, oldest first.
  std::string text() const;

 private:
  std::array<CollectiveEntry, 16> ring_;
  uint64_t count_ = 0;
};

// "rank 2", "ranks 0, 3"
std::string ranks_text(const std::vector<int>& ranks);

}  // namespace gaggle
