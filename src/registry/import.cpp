#include "registry/import.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "base/table.h"
#include "formats/peft_files.h"
#include "registry/outside.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

// A layer's number is a part of the path of everything in it.
bool is_inside_a_layer(const std::string& site) {
  std::istringstream parts(site);
  for (std::string part; std::getline(parts, part, '.');)
    if (!part.empty() && part.find_first_not_of("0123456789") == std::string::npos) return true;
  return false;
}

// Every site must be a linear inside the base's layers; returns its shape there, [d_out, d_in].
std::vector<int64_t> shape_in_base(const std::string& site, const BaseShapes& base, const fs::path& folder) {
  const std::string name = site + ".weight", &model = base.fingerprint.name;
  const auto found = std::ranges::find(base.weights, name, &WeightInfo::name);
  if (found == base.weights.end() || found->shape.size() != 2)
    user_error("{}: site {} is no linear of {}", folder.string(), site, model);
  if (!is_inside_a_layer(site))
    user_error("{}: site {} is outside the layers of {}; gaggle adapts neither head nor embedding", folder.string(),
               site, model);
  return found->shape;
}

// Of the widths that the adapter has.
void check_sites(const PeftAdapter& adapter, const BaseShapes& base, const fs::path& folder) {
  const std::string& model = base.fingerprint.name;
  const bool vectors = adapter.kind == PeftKind::ia3 || adapter.kind == PeftKind::poly_ia3;
  for (const PeftSite& site : adapter.sites) {
    const std::vector<int64_t> base_shape = shape_in_base(site.site, base, folder);
    const PeftWidths ours = widths_of(adapter, site);
    if (!vectors && (base_shape[0] % adapter.heads != 0 || base_shape[1] % adapter.heads != 0))
      user_error("{}: site {} is {} wide in and {} out in {}, which {} heads do not divide", folder.string(), site.site,
                 base_shape[1], base_shape[0], model, adapter.heads);
    if (!vectors && (ours.in != base_shape[1] || ours.out != base_shape[0]))
      user_error("{}: site {} is {} wide in and {} out, in {} it is {} and {}", folder.string(), site.site, ours.in,
                 ours.out, model, base_shape[1], base_shape[0]);
    const int64_t width = site.feedforward ? base_shape[1] : base_shape[0];
    if (vectors && ours.in + ours.out != width)
      user_error("{}: site {} has a vector of {} values for its {}, which is {} wide in {}", folder.string(), site.site,
                 ours.in + ours.out, site.feedforward ? "input" : "output", width, model);
  }
}

// The folder's own name, not its path: two imports of one folder are the same version.
nlohmann::ordered_json import_sidecar(const fs::path& folder, const std::string& declared_base,
                                      const std::optional<BaseShapes>& base) {
  nlohmann::ordered_json sidecar = {{"origin", "imported"},
                                    {"source", fs::absolute(folder).lexically_normal().filename().string()},
                                    {"declared_base", declared_base}};
  if (base) sidecar["base"] = {{"name", base->fingerprint.name}, {"shapes", base->fingerprint.shapes}};
  return sidecar;
}

// Method and tasks of an inventory: as the user says, or from its inventory.json where gaggle exported it.
nlohmann::ordered_json inventory_text(const fs::path& folder, const PeftAdapter& skills,
                                      const std::vector<std::string>& wanted) {
  nlohmann::json words = nlohmann::json::object();
  const fs::path file = folder / words_of(Kind::inventory).sidecar;
  if (fs::exists(file)) words = read_sidecar(folder, Kind::inventory);
  std::string method = text_at(words, "method");
  if (method.empty()) method = skills.tasks == 0 ? "shared" : skills.heads == 1 ? "poly" : "mhr";
  nlohmann::ordered_json tasks = nlohmann::ordered_json::array();
  for (int64_t task = 0; task < std::max<int64_t>(1, skills.tasks); ++task)
    tasks.push_back(fmt::format("task {}", task));
  if (!wanted.empty())
    tasks = wanted;
  else if (const auto given = words.find("tasks"); given != words.end())
    tasks = *given;
  check_task_names(tasks, skills, wanted.empty() ? file.string() + ": tasks" : folder.string() + ": --tasks");
  return {{"method", method}, {"tasks", tasks}};
}

std::string last_part(const fs::path& folder) {
  const fs::path whole = fs::absolute(folder).lexically_normal();
  return whole.has_filename() ? whole.filename() : whole.parent_path().filename();
}

// Writes beside and renames: `to` is there whole or not at all.
void write_folder(const fs::path& to, const std::map<std::string, std::string>& files) {
  if (fs::exists(fs::symlink_status(to))) user_error("--to {}: is there already; name a new folder", to.string());
  const fs::path parent = fs::absolute(to).parent_path();
  require_writable(parent, "--to");
  const fs::path beside = fs::absolute(to).string() + ".part";
  fs::create_directory(beside);
  for (const auto& [name, bytes] : files) {
    fs::create_directories((beside / name).parent_path());
    write_file_durable(beside / name, bytes);
  }
  fs::rename(beside, to);
  fsync_folder(parent);
}

// A folder that is asked to be imported: what it holds, or why it is refused.
struct ImportedFolder {
  std::string folder;
  NewVersion version;
  std::string refusal;  // "": accepted
};

// A name that two folders have is refused the second time.
std::vector<ImportedFolder> judge(const std::vector<std::string>& folders, const std::string& name,
                                  const std::optional<BaseShapes>& base, const ImportOptions& options) {
  std::vector<ImportedFolder> all;
  std::set<std::string> names;
  for (const std::string& folder : folders) {
    ImportedFolder& one = all.emplace_back();
    one.folder = folder;
    const std::string as = name.empty() ? last_part(folder) : name;
    try {
      one.version = read_import(folder, as, base, options);
      if (!names.insert(as).second) user_error("another folder of this import is named {} too", as);
    } catch (const UserError& error) {
      one.refusal = error_text(error);
    }
  }
  return all;
}

}  // namespace

NewVersion read_import(const fs::path& folder, const std::string& name, const std::optional<BaseShapes>& base,
                       const ImportOptions& options) {
  if (!fs::is_directory(folder)) user_error("{}: no such folder", folder.string());
  const PeftFiles files = open_peft(folder, options.drop);
  PeftAdapter adapter = parse_peft(files);
  NewVersion version;
  version.kind = adapter.kind == PeftKind::lora ? Kind::expert : Kind::inventory;
  version.name = name;
  check_name(name, words_of(version.kind).one);
  if (base) check_sites(adapter, *base, folder);
  version.files[adapter_config_file] =
      files.changes.empty() ? read_file(folder / adapter_config_file) : files.config.dump(2) + "\n";
  version.files[adapter_file] = tensor_file_bytes(files.tensors);
  version.sidecar = import_sidecar(folder, adapter.base.name, base);
  if (!files.changes.empty()) version.sidecar["changes"] = files.changes;
  if (version.kind == Kind::inventory) {
    version.sidecar.update(inventory_text(folder, adapter, options.tasks));
  } else if (!options.tasks.empty()) {
    user_error("{}: --tasks names the tasks of a Poly folder; this is a LoRA", folder.string());
  } else if (const fs::path gates = gates_in(folder); !gates.empty()) {
    read_gates(gates, adapter);
    version.files[gate_file] = tensor_file_bytes(read_tensors(gates));
  }
  version.sidecar.update(sizes_json(adapter));
  if (version.kind == Kind::expert) version.sidecar["gated"] = version.files.contains(gate_file);
  return version;
}

ImportReport import_folders(const fs::path& registry, const std::vector<std::string>& folders, const std::string& name,
                            const std::string& base, bool accept_base, const ImportOptions& options) {
  std::optional<BaseShapes> shapes;
  if (!base.empty()) {
    const auto model = open_model(base, "");
    shapes = {{model->spec().name, shapes_digest(model->weights()), ""}, model->weights()};
  }
  const std::vector<ImportedFolder> judged = judge(folders, name, shapes, options);
  ImportReport report;
  report.refused = static_cast<size_t>(
      std::ranges::count_if(judged, [](const ImportedFolder& one) { return !one.refusal.empty(); }));
  std::optional<Registry> open;
  if (report.refused < judged.size())
    open = Registry::open(registry, shapes ? std::optional(shapes->fingerprint) : std::nullopt, /*create=*/true,
                          accept_base);
  Table table({"folder", "", "as", "why"});
  for (const ImportedFolder& one : judged) {
    if (!one.refusal.empty()) {
      table.add({one.folder, "refused", "", one.refusal});
      continue;
    }
    const NewVersion& version = one.version;
    const std::string kind = version.kind == Kind::expert ? "" : fmt::format("{}/", words_of(version.kind).folder);
    table.add({one.folder, "accepted", fmt::format("{}{}@{}", kind, version.name, open->commit(version)),
               (shapes ? "fits " + shapes->fingerprint.name : "base unverified (--base MODEL checks it)") +
                   remarks_on(version)});
  }
  report.text = table.text() + fmt::format("{} accepted, {} refused\n", judged.size() - report.refused, report.refused);
  return report;
}

void export_version(const Registry& registry, const std::string& name, const fs::path& to,
                    const std::string& base_path) {
  const fs::path from = registry.locate(name, {Kind::expert, Kind::inventory}).folder;
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(from))
    if (entry.is_regular_file() && !entry.is_symlink()) files[entry.path().filename()] = read_file(entry.path());
  write_folder(to, files_to_export(std::move(files), base_path));
}

void export_mean(const Registry& registry, const std::string& name, const fs::path& to, const std::string& base_path) {
  const Version from = registry.locate(name, {Kind::inventory});
  const PeftAdapter mean = mean_of_skills(read_adapter(from));
  // The modules as this folder names them: which endings are enough depends on a base that is not at hand.
  auto config = nlohmann::ordered_json::parse(peft_config_json(mean, {}));
  const auto given = nlohmann::ordered_json::parse(read_file(from.folder / adapter_config_file));
  for (const char* key : {"target_modules", "feedforward_modules", "exclude_modules"})
    if (given.contains(key)) config[key] = given[key];
  write_folder(to, files_to_export({{adapter_config_file, config.dump(2) + "\n"},
                                    {adapter_file, tensor_file_bytes(peft_tensors(mean, DType::f32))}},
                                   base_path));
}

}  // namespace gaggle
