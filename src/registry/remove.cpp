// Removing what a name stands for: out of sight by one rename, then deleted.
#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "registry/pins.h"
#include "registry/stage.h"

namespace gaggle {

void Registry::remove(const std::string& name) {
  if (name.find('@') != std::string::npos) user_error("{}: all versions are removed together; leave out the @", name);
  const Version version = locate(name);
  if (const auto holders = holders_of(*this, version); !holders.empty())
    user_error("{}: {} {} is {} {}; remove that first", folder_.string(), words_of(version.kind).one, version.name,
               version.kind == Kind::expert ? "pinned by" : "the parent of", join(holders, ", "));
  const fs::path folder = version.folder.parent_path();
  const Stage stage(folder_);
  if (!rename_to_new(folder, stage.folder() / version.name)) system_error("{}: cannot be removed", folder.string());
  fsync_folder(folder.parent_path());
}

}  // namespace gaggle
