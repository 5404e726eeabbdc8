// The last collectives of a rank, for the message when one of them does not finish, and for the file that
// `gaggle doctor` reads afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace gaggle {

struct CollectiveEntry {
  std::string group;  // which ranks: "world", "world/1" (the part of colour 1)
  std::string verb;
  uint64_t number = 0;  // counts the group's collectives from 1: equal numbers belong together
  size_t bytes = 0;     // sent and received by this rank
  std::string phase;    // what the main thread was at (base/pulse.h)
  int64_t step = 0;
  double started = 0;  // monotonic seconds
  double took = -1;    // -1: not finished
};

// The collectives of one rank over all its communicators, oldest first; the newest 64 are kept. Any thread may read.
class RankRecord {
 public:
  void begin(CollectiveEntry entry);
  void end(const std::string& group, uint64_t number);
  std::vector<CollectiveEntry> entries() const;
  // The oldest collective that has not finished: what the rank waits in.
  std::optional<CollectiveEntry> waiting_in() const;

 private:
  mutable std::mutex mutex_;
  std::deque<CollectiveEntry> entries_;
};

// The collectives of one communicator on one rank; used by the thread that calls its verbs.
class CollectiveRecord {
 public:
  explicit CollectiveRecord(std::shared_ptr<RankRecord> rank = std::make_shared<RankRecord>(),
                            std::string group = "world");
  uint64_t begin(const char* verb, size_t bytes);  // returns the collective's number
  void end();                                      // of the newest
  void end(uint64_t number);                       // of one that others have followed already
  // "all_gather (collective 17)"; of a part of the world: "all_gather (collective 17 of world/1)"
  std::string last_text() const;
  // The rank's collectives, one line each, oldest first.
  std::string text() const;
  // The record of a communicator split off with this colour.
  CollectiveRecord of_part(int colour) const;
  // The record of the same ranks' verbs over another path: "world over NCCL".
  CollectiveRecord beside(const std::string& name) const;

 private:
  std::shared_ptr<RankRecord> rank_;
  std::string group_, verb_;
  uint64_t number_ = 0;
};

// "all_gather (collective 17)", "all_gather (collective 17 of world/1)"
std::string collective_text(const std::string& verb, uint64_t number, const std::string& group);
// "rank 2", "ranks 0, 3", "ranks 0-6, 8"
std::string ranks_text(const std::vector<int>& ranks);

}  // namespace gaggle
