// Removing what a name stands for: out of sight by one rename, then deleted.
#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "registry/layout.h"
#include "registry/pins.h"
#include "registry/registry.h"
#include "registry/stage.h"

namespace gaggle {

void Registry::remove(const std::string& name) {
  if (name.find('@') != std::string::npos)
    user_error("{}: all versions are removed together; leave out the @", name);
  const Located located = locate(name, {all_kinds.begin(), all_kinds.end()});
  const auto refuse = [&](const std::vector<std::string>& holders, const char* what) {
    if (!holders.empty())
      user_error("{}: {} {} is {} {}; remove that first", folder_.string(), words_of(located.kind).one,
                 located.name, what, join(holders, ", "));
  };
  if (located.kind == Kind::expert) refuse(pinned_by(folder_, located.name), "pinned by");
  if (located.kind == Kind::routed) refuse(rows_of(*this, located.name), "the parent of");
  const fs::path folder = located.folder.parent_path();
  const Stage stage(folder_);
  if (!rename_to_new(folder, stage.folder() / located.name))
    system_error("{}: cannot be removed", folder.string());
  fsync_folder(folder.parent_path());
}

}  // namespace gaggle
