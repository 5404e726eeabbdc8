// Who works, who stands still, who is gone: judged from heartbeats. A pure state machine (heartbeats and times
// in, a sentence out), so that it is tested without MPI and without waiting.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/record.h"

namespace gaggle {

// How long the main thread of a rank may stand still, in a collective or at work, before the job is ended.
struct Deadlines {
  double first_s = 1800;  // until its first step is done: connections, page faults, first allocations
  double later_s = 600;
};

// What a rank says of itself once a period. Bytes that travel as they are.
struct Heartbeat {
  uint64_t count = 0;  // of the main thread's pulse
  int64_t step = 0;
  uint64_t number = 0;  // of the collective it waits in; 0: it is at work
  uint8_t under_way = 0, leaving = 0;
  char phase[22] = {}, verb[24] = {}, group[32] = {};
};
Heartbeat make_heartbeat(const RankRecord& record, bool leaving);

class Watch {
 public:
  // hosts[r]: of rank r, for people. `now`: monotonic seconds of the watching rank, here and below.
  Watch(std::vector<std::string> hosts, Deadlines deadlines, double now);
  void heard(int rank, const Heartbeat& beat, double now);
  // The watching process itself was asleep (a suspended job): nobody could be heard, all begin anew.
  void begin_anew(double now);
  // This rank is known to be dead, and the others go on without it.
  void lost(int rank) { ranks_[static_cast<size_t>(rank)].lost = true; }
  bool is_lost(int rank) const { return ranks_[static_cast<size_t>(rank)].lost; }

  struct Verdict {
    std::vector<int> missing;  // never empty where there is a verdict
    std::string text;          // who is missing, and where everybody is, a line for each place
    explicit operator bool() const { return !missing.empty(); }
  };
  // Whether some rank has stood still for too long, and whose fault it is.
  Verdict verdict(double now) const;

 private:
  struct Rank {
    std::string host;
    Heartbeat beat;
    double heard_at = 0, moved_at = 0;
    bool lost = false;
  };
  std::vector<int> missing(double now) const;
  std::string place(const Rank& rank, double now) const;
  double deadline_of(const Rank& rank) const;
  bool silent(const Rank& rank, double now) const;
  std::vector<Rank> ranks_;
  Deadlines deadlines_;
};

}  // namespace gaggle
