// Staging and committing a version: written aside, fsynced, renamed onto a name that must not exist.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace gaggle {

// Looks for a committed version that holds what is to be committed, at each of them once.
class SameVersion {
 public:
  // `equal(version folder)` says whether it does.
  SameVersion(std::filesystem::path parent, std::function<bool(const std::filesystem::path&)> equal)
      : parent_(std::move(parent)), equal_(std::move(equal)) {}
  // Among those that came since the last look. CURRENT is moved forward; that it stays at a newer one is said.
  std::optional<std::string> look();
  int newest() const { return compared_; }  // that was looked at; 0: none

 private:
  std::filesystem::path parent_;
  std::function<bool(const std::filesystem::path&)> equal_;
  int compared_ = 0;
};

// A folder under .staging/ that is removed with this object unless it was committed. Leftovers of processes of
// this host that are gone are swept when a new one is made.
class Stage {
 public:
  explicit Stage(const std::filesystem::path& registry);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  const std::filesystem::path& folder() const { return folder_; }
  void write(const std::string& name, std::string_view bytes) const;  // fsynced
  // Hard link where the file system has them, else a copy.
  void link(const std::filesystem::path& file) const;

  // Fsyncs the stage, renames it to the next version under `parent` whose number was never given, fsyncs, moves CURRENT
  // forward. Where a version that was committed meanwhile holds the same, the stage is dropped and that one returned.
  std::string commit(const std::filesystem::path& parent, SameVersion& same);

 private:
  std::filesystem::path registry_, folder_;
};

// Renames a folder onto a name that must not exist: true if it is there now and is ours, false if somebody
// else's is, or if the folder it should lie in was taken away. Throws SystemError for other failures.
bool rename_to_new(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace gaggle
