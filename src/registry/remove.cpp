// Removing what a name stands for: out of sight by one rename, then deleted.
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "registry/cache.h"
#include "registry/pins.h"
#include "registry/stage.h"

namespace gaggle {

void Registry::remove(const std::string& name) {
  if (name.find('@') != std::string::npos) user_error("{}: all versions are removed together; leave out the @", name);
  const Version version = locate(name);
  const auto refuse_if_held = [&](const std::function<void()>& put_back) {
    const auto holders = holders_of(*this, version);
    if (holders.empty()) return;
    put_back();
    user_error("{}: {} {} is {} {}; remove that first", folder_.string(), words_of(version.kind).one, version.name,
               version.kind == Kind::expert ? "pinned by" : "the parent of", join(holders, ", "));
  };
  refuse_if_held([] {});
  const fs::path folder = version.folder.parent_path();
  const Stage stage(folder_);
  const fs::path away = stage.folder() / version.name;
  keep_last_number(folder_, folder, folder);
  if (!rename_to_new(folder, away)) system_error("{}: cannot be removed", folder.string());
  keep_last_number(folder_, folder, away);  // of a version that was committed in between
  // Who pinned it since the first look may not have seen it go: one of the two looks again in time.
  refuse_if_held([&] {
    if (rename_to_new(away, folder)) return;
    for (const std::string& one : versions_in(away)) rename_to_new(away / one, folder / one);  // the name is new again
  });
  fsync_folder(folder.parent_path());
  sweep_cache(*this);
}

}  // namespace gaggle
