// Removing an expert or a collection: out of sight by one rename, then deleted.
#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "registry/layout.h"
#include "registry/pins.h"
#include "registry/registry.h"
#include "registry/stage.h"

namespace gaggle {

void Registry::remove(const std::string& name) {
  check_name(name, "expert or collection");
  fs::path folder = without_links(folder_, folder_ / "experts" / name);
  if (!fs::is_directory(folder)) {
    folder = without_links(folder_, folder_ / "collections" / name);
    if (!fs::is_directory(folder))
      user_error("{}: neither an expert nor a collection is named {}", folder_.string(), name);
  } else if (const auto holders = pinned_by(folder_, name); !holders.empty()) {
    user_error("{}: expert {} is pinned by {}; remove that collection first", folder_.string(), name,
               join(holders, ", "));
  }
  const Stage stage(folder_);
  if (!rename_to_new(folder, stage.folder() / name)) system_error("{}: cannot be removed", folder.string());
  fsync_folder(folder.parent_path());
}

}  // namespace gaggle
