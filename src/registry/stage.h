// Staging and committing a version: written aside, fsynced, renamed onto a name that must not exist.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace gaggle {

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
  void write_sums() const;  // last of all files

  // Renames the stage to the next version under `parent` whose number was never given, fsyncs, moves CURRENT forward.
  // `equal(version folder)` says whether a committed version holds the same thing: then the stage is dropped and that
  // version returned; that CURRENT stays at a newer one is said.
  std::string commit(const std::filesystem::path& parent,
                     const std::function<bool(const std::filesystem::path&)>& equal);

 private:
  std::filesystem::path registry_, folder_;
};

// Renames a folder onto a name that must not exist: true if it is there now and is ours, false if somebody
// else's is, or if the folder it should lie in was taken away. Throws SystemError for other failures.
bool rename_to_new(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace gaggle
