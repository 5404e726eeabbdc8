// Leases on work items: files work/leases/KEY.GEN in the registry, by O_CREAT|O_EXCL; the highest GEN holds.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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

class Lease;

// What a lease file says of its holder.
struct LeaseHolder {
  std::string worker, host, job;  // job: Slurm's or mpirun's, "" without one
  bool released = false;
  std::string text() const;  // for people
};

// One worker's view of the leases of a registry.
class LeaseTable {
 public:
  LeaseTable(std::filesystem::path registry, std::string worker, double lease_s,
             std::shared_ptr<LeaseFiles> files = nullptr);
  ~LeaseTable();
  // Lists the folder, once for the looks at all keys that follow. A listing may be old: whoever made the next
  // generation is asked for by name before a lease is taken.
  void list();
  // Takes KEY if nobody holds it, or its holder is dead: the counter stood still for lease_s on this process'
  // monotonic clock, or the holder was a process of this host that is gone. Null: somebody holds it.
  std::unique_ptr<Lease> try_take(const std::string& key);
  // Who holds it, as text for people; nullopt: nobody alive.
  std::optional<std::string> holder(const std::string& key);
  // The same, from the last look at the key.
  std::optional<std::string> holder_seen(const std::string& key) const;
  // Whether the holder was seen to live: its counter moved, or it is a live process of this host.
  bool seen_alive(const std::string& key) const;

 private:
  friend class Lease;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Held until destroyed or released; a thread raises its counter every 10 s (lease_s / 12).
class Lease {
 public:
  ~Lease();
  int generation() const;
  // The holder of the generation before, where it died without releasing it.
  std::optional<LeaseHolder> lost_predecessor() const;
  bool still_mine();  // reads the folder again: false once somebody made a higher GEN
  void release();     // the item is finished or given back
 private:
  friend class LeaseTable;
  struct Impl;
  explicit Lease(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gaggle
