// Leases on work items: files work/leases/KEY.GEN in the registry, by O_CREAT|O_EXCL; the highest GEN holds.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "coordinator/lease_file.h"
#include "coordinator/plan.h"

namespace gaggle {

// The four file operations of the protocol, so that tests can inject stale reads and lost replies.
struct LeaseFiles {
  virtual ~LeaseFiles() = default;
  virtual bool create_exclusive(const std::filesystem::path& path,
                                const std::string& content);  // false: exists
  virtual void write_at_start(const std::filesystem::path& path, const std::string& content);
  virtual std::optional<std::string> read(const std::filesystem::path& path);
  virtual std::vector<std::string> list(const std::filesystem::path& folder);
};

// The generation that these digits say; 0: they say none.
int generation_of(std::string_view digits);
// key → its highest generation, from the names "KEY.GEN" of a folder of leases.
std::map<std::string, int> newest_generations(const std::vector<std::string>& names);
std::string lease_name(const std::string& key, int generation);

// Held until destroyed or released; a thread raises its counter every 10 s (lease_s / 12).
class Lease {
 public:
  Lease(std::shared_ptr<LeaseFiles> files, std::filesystem::path folder, std::string key, int generation,
        std::optional<LeaseRecord> lost, double beat_s);
  ~Lease();
  int generation() const { return generation_; }
  // The holder of the generation before, where it died without releasing it.
  const std::optional<LeaseRecord>& lost_predecessor() const { return lost_; }
  bool still_mine();  // reads the folder again: false once somebody made a higher GEN
  void release();     // the item is finished or given back

 private:
  void beat(std::stop_token stop, double seconds);
  std::shared_ptr<LeaseFiles> files_;
  std::filesystem::path folder_;
  std::string key_;
  int generation_;
  std::optional<LeaseRecord> lost_;
  std::jthread beat_;
};

// One worker's view of the leases of a registry.
class LeaseTable {
 public:
  LeaseTable(const std::filesystem::path& registry, std::string worker, double lease_s,
             std::shared_ptr<LeaseFiles> files = nullptr);
  // Lists the folder, once for the looks at all keys that follow. A listing may be old: whoever made the next
  // generation is asked for by name before a lease is taken.
  void list() { listed_ = newest_generations(files_->list(folder_)); }
  // Takes KEY if nobody holds it, or its holder is dead: the counter stood still for lease_s on this process'
  // monotonic clock, or the holder was a process of this host that is gone. Null: somebody holds it.
  std::unique_ptr<Lease> try_take(const std::string& key);
  // Who holds it, as text for people; nullopt: nobody alive.
  std::optional<std::string> holder(const std::string& key);
  // The same, from the last look at the key.
  std::optional<std::string> holder_seen(const std::string& key) const;
  // How it stands with the holder: "held by tomi on h1, not heard of for 7 s; taken over after 120 s". "": a worker of
  // our own job that is at work, which its display shows.
  std::string waiting_text(const std::string& key) const;
  // Whether the holder was seen to live: its counter moved, or it is a live process of this host.
  bool seen_alive(const std::string& key) const;
  // Whether the holder is a worker of our own job.
  bool of_own_job(const std::string& key) const;

 private:
  // What was last read of a key's highest generation, and since when it has said the same.
  struct Observation {
    int generation = 0;  // 0: no lease yet
    std::string content;
    std::optional<LeaseRecord> record;
    double since = 0;
    bool moved = false;  // it said something else before
  };
  const Observation& read(const std::string& key, int generation);
  const Observation& look(const std::string& key);
  Observation last(const std::string& key) const;
  LeaseSight sight(const Observation& seen) const;
  bool dead(const Observation& seen) const { return lease_free(sight(seen), lease_s_); }

  std::filesystem::path folder_;
  LeaseRecord self_;
  double lease_s_;
  std::shared_ptr<LeaseFiles> files_;
  std::map<std::string, Observation> seen_;
  std::map<std::string, int> listed_;  // key → highest generation in the last listing
};

}  // namespace gaggle
