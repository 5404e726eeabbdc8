// Committing a version of any kind, and which version is current.
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/names.h"
#include "base/sha256.h"
#include "registry/layout.h"
#include "registry/new_version.h"
#include "registry/stage.h"
#include "registry/sums.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

// Name → SHA-256.
using Digests = std::map<std::string, std::string>;

template <class Wanted>
Digests only(Digests files, const Wanted& wanted) {
  std::erase_if(files, [&](const auto& file) { return !wanted(file.first); });
  return files;
}

// Of the files that a version will have, but for SHA256SUMS itself.
Digests digests_of(const NewVersion& version, const std::string& sidecar) {
  Digests digests;
  for (const fs::path& file : version.linked) digests[file.filename()] = sha256_hex_of_file(file);
  for (const auto& [name, bytes] : version.files) digests[name] = sha256_hex(bytes);
  digests[words_of(version.kind).sidecar] = sha256_hex(sidecar);
  return digests;
}

// What stands in a sidecar alone and is a part of what the version is: the tasks of a routing table, the
// experts of a collection, the bias of gates.
nlohmann::json contents_of(const nlohmann::json& sidecar) {
  nlohmann::json contents;
  for (const char* key : {"tasks", "experts", gate_bias_key}) contents.push_back(sidecar.value(key, nlohmann::json()));
  return contents;
}

// Whether the version at `theirs` is what is given: by its key, or, where there is none, by its files. A collection is
// what was asked for last: only the newest version can be the same.
bool is_same(const NewVersion& given, const std::string& sidecar, const Digests& ours, const fs::path& theirs) {
  if (given.key.empty()) {
    if (const auto all = versions_in(theirs.parent_path());
        given.kind == Kind::collection && !all.empty() && theirs.filename() != all.back())
      return false;
    const auto no_sidecar = [&](const std::string& name) { return name != words_of(given.kind).sidecar; };
    return only(ours, no_sidecar) == only(read_sums(theirs), no_sidecar) &&
           contents_of(parse_json(sidecar)) == contents_of(read_sidecar(theirs, given.kind));
  }
  if (key_of(theirs, given.kind) != given.key) return false;
  const auto is_tensors = [](const std::string& name) { return name.ends_with(".safetensors"); };
  if (only(ours, is_tensors) != only(read_sums(theirs), is_tensors))
    log::warning(
        "{}: {} carries the same key ({}) but other bits; the committed one stays (equal bits need "
        "the same build, processor, dtype and threads)",
        given.name, theirs.filename().string(), given.key.substr(0, 12));
  return true;
}

// Whether a version was made from an older one of its name, or from what was made from that, as gates are for a LoRA.
bool descends(const fs::path& parent, Kind kind, const std::string& version, const std::string& older) {
  if (*version_number(version) <= *version_number(older)) return false;
  const std::string prefix = parent.filename().string() + "@";
  for (const std::string& pin : parents_of(parent / version, kind)) {
    const std::string made_from = pin.starts_with(prefix) ? pin.substr(prefix.size()) : "";
    if (!version_number(made_from) || *version_number(made_from) >= *version_number(version)) continue;
    if (made_from == older || descends(parent, kind, made_from, older)) return true;
  }
  return false;
}

// Nothing that is not finite is committed: no tensor as it is stored (a conversion may have overflowed), no loss. What a
// collection has is of experts that are committed.
void require_finite_version(const NewVersion& version) {
  if (version.kind == Kind::collection) return;
  const char* advice = version.key.empty() ? "" : " (lower the learning rate, or set registry.dtype = \"fp32\")";
  const std::string what =
      fmt::format("{} {} is not finite and is not stored{}", words_of(version.kind).one, version.name, advice);
  require_finite(version.files, what);
  const nlohmann::json metrics = nlohmann::json(object_at(version.sidecar, "metrics")).flatten();
  for (const auto& [name, value] : metrics.items())
    if (value.is_number_float() && !std::isfinite(value.get<double>()))
      throw NotFinite(fmt::format("{}: metrics{}", what, name));
}

}  // namespace

std::string sidecar_text(const NewVersion& given) {
  nlohmann::ordered_json sidecar = {{"format", 1}, {"name", given.name}};
  if (given.kind != Kind::collection) sidecar.update({{"key", given.key}, {"origin", "trained"}});
  for (const auto& [field, value] : given.sidecar.items())
    if (field != "name" && field != "key") sidecar[field] = value;
  // A name of the file system need not be UTF-8.
  return sidecar.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string Registry::commit(const NewVersion& version) {
  check_name(version.name, words_of(version.kind).one);
  require_finite_version(version);
  const fs::path parent = without_links(folder_, root_of(version.kind) / version.name);
  const std::string sidecar = sidecar_text(version);
  const Digests ours = digests_of(version, sidecar);
  SameVersion same(parent, [&](const fs::path& theirs) {
    try {
      return is_same(version, sidecar, ours, theirs);
    } catch (const UserError& error) {
      // It stands in nobody's way; where it is gone, somebody removed it meanwhile.
      if (fs::exists(theirs)) log::warning("{}; this is not compared with it", error_text(error));
      return false;
    }
  });
  // Before anything is written: what is there already needs no stage.
  if (const auto found = same.look()) return *found;
  Stage stage(folder_);
  for (const fs::path& file : version.linked) stage.link(file);
  for (const auto& [name, bytes] : version.files) stage.write(name, bytes);
  stage.write(words_of(version.kind).sidecar, sidecar);
  stage.write(sums_file, sums_text(ours));
  return stage.commit(parent, same);
}

std::string Registry::make_current(Kind kind, const std::string& name, const std::string& version) {
  const Version wanted = load(kind, name + "@" + version);
  const fs::path parent = wanted.folder.parent_path();
  const std::string current = current_version(parent).value_or(version);
  if (kind == Kind::expert && !is_gated(wanted) && descends(parent, kind, current, version)) {
    log::info("{}: CURRENT stays at {}, which gives gates to {}", name, current, version);
    return current;
  }
  if (current != version)
    log::info("{}: CURRENT moves from {} to {}, whose settings these are", name, current, version);
  set_current(parent, version);
  return version;
}

}  // namespace gaggle
