// Opening and making a registry; what base it belongs to.
#include <atomic>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "registry/layout.h"
#include "registry/registry.h"

namespace gaggle {
namespace {

// 2: inventories/ and routing_rows/, which were called routed/ and rows/.
constexpr int format_version = 2;

std::string registry_json(const BaseFingerprint& base) {
  const nlohmann::ordered_json json = {
      {"format", format_version}, {"base", {{"name", base.name}, {"shapes", base.shapes}, {"content", base.content}}}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void check_format(const fs::path& folder, int format) {
  if (format > format_version)
    user_error("{}: a registry of format {}, made by a newer gaggle; this one (" GAGGLE_VERSION
               ") reads format {}: use the newer gaggle",
               folder.string(), format, format_version);
  if (format < format_version)
    user_error("{}: a registry of format {}, made by a gaggle from before " GAGGLE_VERSION
               " was released; this one reads format {}: name a new folder and train again, or export what you want "
               "to keep with the gaggle that made it (gaggle registry export) and import it into a new folder",
               folder.string(), format, format_version);
}

BaseFingerprint read_registry_json(const fs::path& folder) {
  const fs::path file = folder / "registry.json";
  without_links(folder, file);
  nlohmann::json json;
  try {
    json = parse_json(read_file(file));
    check_format(folder, whole_number_of<int>(json.at("format")));
    const auto& base = json.at("base");
    return {base.at("name"), base.at("shapes"), base.at("content")};
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: not a registry's description ({})", file.string(), error.what());
  }
}

// Makes registry.json unless somebody else does at the same time: a link onto a name that exists fails.
void make(const fs::path& folder, const BaseFingerprint& base) {
  static std::atomic<int> count = 0;
  const fs::path file = folder / "registry.json";
  require_writable(folder, "registry");
  for (const auto& entry : fs::directory_iterator(folder))
    if (!entry.path().filename().string().starts_with("registry.json") && !fs::exists(file))
      user_error("{}: not a registry (no registry.json), and not empty ({}); name another folder", folder.string(),
                 entry.path().filename().string());
  const fs::path beside = fmt::format("{}.{}-{}-{}", file.string(), this_process().host, this_process().pid, count++);
  write_file_durable(beside, registry_json(base));
  std::error_code failed;
  fs::create_hard_link(beside, file, failed);
  if (failed && !fs::exists(file)) fs::rename(beside, file);  // a file system without hard links
  fs::remove(beside, failed);
  fsync_folder(folder);
}

void check_base(const fs::path& folder, const BaseFingerprint& ours, bool write, bool accept_base) {
  const BaseFingerprint theirs = read_registry_json(folder);
  if (ours.shapes != theirs.shapes)
    user_error("{}: made for another base ({}), whose names and shapes differ from {}'s; name another registry",
               folder.string(), theirs.name, ours.name);
  if (ours.content.empty() || ours.content == theirs.content) return;
  if (theirs.content.empty()) {
    // Made by an import, which reads no weights: the first who has them writes down what they were.
    if (write) replace_file(folder, folder / "registry.json", registry_json({theirs.name, ours.shapes, ours.content}));
    return;
  }
  const std::string what =
      fmt::format("{}: made for the base {}, whose weights or settings (docs/registry.md) differ from {}'s",
                  folder.string(), theirs.name, ours.name);
  if (write && !accept_base) user_error("{}; --accept-base writes to it all the same", what);
  log::warning("{}", what);
}

// The folders that every job writes to: looked at here, before anything is made in them or trained for them.
void refuse_links(const fs::path& folder) {
  for (const char* inner :
       {"work/leases", "work/journal", "work/items", "work/jobs", "aside", "removed", "cache", ".staging"})
    without_links(folder, folder / inner);
  for (const Kind kind : all_kinds)
    for (const fs::path& root : {folder, folder / "removed"}) without_links(folder, root / words_of(kind).folder);
}

}  // namespace

Registry Registry::open(const fs::path& folder, const std::optional<BaseFingerprint>& base, bool create,
                        bool accept_base) {
  if (folder.empty()) user_error("registry: the folder's name is empty; name one");
  Registry registry;
  registry.folder_ = fs::absolute(folder).lexically_normal();
  if (!registry.folder_.has_filename()) registry.folder_ = registry.folder_.parent_path();
  if (!fs::exists(fs::symlink_status(registry.folder_ / "registry.json"))) {
    if (!create) user_error("{}: no registry there (registry.json is missing)", folder.string());
    if (!base)
      user_error("{}: no registry there yet; making one needs the base its experts belong to (--base MODEL)",
                 folder.string());
    make(registry.folder_, *base);
  }
  if (create) require_writable(registry.folder_, "registry");
  refuse_links(registry.folder_);
  if (base)
    check_base(registry.folder_, *base, create, accept_base);
  else
    read_registry_json(registry.folder_);
  return registry;
}

BaseFingerprint Registry::base() const { return read_registry_json(folder_); }

}  // namespace gaggle
