#include "registry/outside.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "formats/peft_files.h"
#include "registry/stage.h"
#include "registry/sums.h"
#include "registry/version_files.h"

namespace gaggle {

fs::path named_folder(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

namespace {

[[noreturn]] void refuse_taken(const fs::path& to, const std::string& option) {
  user_error("{} {}: is there already; name a new folder", option, to.string());
}

}  // namespace

void check_new_folder(const fs::path& to, const std::string& option) {
  const fs::path target = named_folder(to);
  if (fs::exists(fs::symlink_status(target))) refuse_taken(to, option);
  for (fs::path outer = fs::weakly_canonical(target); outer.has_relative_path();) {
    outer = outer.parent_path();
    if (fs::exists(outer / "registry.json"))
      user_error("{} {}: lies in the registry {}; name a folder outside", option, to.string(), outer.string());
  }
  require_writable(target.parent_path(), option);
}

void make_new_folder(const fs::path& to, const std::string& option,
                     const std::function<void(const fs::path& beside)>& fill) {
  check_new_folder(to, option);
  const fs::path target = named_folder(to);
  const fs::path beside = make_folder_beside(target);
  try {
    fill(beside);
    open_folder_to_others(beside);
    if (!rename_to_new(beside, target)) refuse_taken(to, option);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(beside, ignored);
    throw;
  }
  fsync_folder(target.parent_path());
}

fs::path gates_in(const fs::path& folder) {
  const fs::path ours = folder / gate_file, exported = folder / exported_gate_file;
  if (fs::exists(ours) && fs::exists(exported))
    user_error("{}: gates lie in {} and in {}; remove those that are not meant", folder.string(), gate_file,
               exported_gate_file);
  return fs::exists(ours) ? ours : fs::exists(exported) ? exported : fs::path();
}

void check_task_names(const nlohmann::ordered_json& given, const PeftAdapter& skills, const std::string& where) {
  std::set<std::string> names;
  const bool named = given.is_array() && std::ranges::all_of(given, [&](const auto& task) {
                       return task.is_string() && names.insert(task.template get<std::string>()).second;
                     });
  if (!named || (skills.tasks > 0 && names.size() != static_cast<size_t>(skills.tasks)))
    user_error("{} {}; expected different names of the {} tasks of adapter_config.json", where, given.dump(),
               skills.tasks);
}

std::string remarks_on(const NewVersion& version) {
  std::string text;
  if (const auto changes = version.sidecar.find("changes"); changes != version.sidecar.end())
    for (const auto& change : *changes) text += "; " + change.get<std::string>();
  const DeclaredBase base = declared_base(version.sidecar.value("declared_base", ""));
  if (!base.quantised.empty())
    text +=
        fmt::format("; trained on {} in {}, its answers differ a little on full weights", base.model, base.quantised);
  return text;
}

std::map<std::string, std::string> files_to_export(std::map<std::string, std::string> files,
                                                   const std::string& base_path) {
  if (!base_path.empty()) {
    auto config = parse_json<nlohmann::ordered_json>(files[adapter_config_file]);
    if (!config.is_object()) user_error("{} of the version is not a JSON object", adapter_config_file);
    config["base_model_name_or_path"] = base_path;
    files[adapter_config_file] = config.dump(2) + "\n";
  }
  if (auto gates = files.extract(gate_file)) {
    gates.key() = exported_gate_file;
    files.insert(std::move(gates));
  }
  if (files.erase(sums_file) == 0) return files;
  std::map<std::string, std::string> digests;
  for (const auto& [name, bytes] : files) digests[name] = sha256_hex(bytes);
  files[sums_file] = sums_text(digests);
  return files;
}

}  // namespace gaggle
