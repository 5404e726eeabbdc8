#include "registry/import.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/names.h"
#include "base/sha256.h"
#include "base/table.h"
#include "base/terminal.h"
#include "registry/stage.h"
#include "registry/sums.h"
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

// A gate for every site or none: routing without some of them is another routing.
void check_gates(const PeftAdapter& lora, const fs::path& file) {
  for (const PeftSite& site : lora.sites)
    if (site.gate.empty())
      user_error("{}: site {} of the LoRA has no gate; expected \"<module path>.gate\" for every site, or no such file",
                 file.string(), site.site);
}

// Modules on which PEFT could have put tensors; of no base: none.
std::vector<std::string> linears_of(const std::optional<BaseShapes>& base) {
  std::vector<std::string> linears;
  const std::string weight = ".weight";
  if (base)
    for (const WeightInfo& info : base->weights)
      if (info.shape.size() == 2 && info.name.ends_with(weight) && is_inside_a_layer(info.name) &&
          !info.name.ends_with("relative_attention_bias.weight"))
        linears.push_back(info.name.substr(0, info.name.size() - weight.size()));
  return linears;
}

std::string some_of(const std::vector<std::string>& names) {
  const size_t shown = std::min<size_t>(names.size(), 3);
  const std::string text = join({names.begin(), names.begin() + static_cast<int64_t>(shown)}, ", ");
  return shown < names.size() ? text + ", …" : text;
}

// "Owner/Name", "folder/name/" and "name" are one.
std::string short_name(const std::string& model) {
  const fs::path path(model);
  std::string name = path.has_filename() ? path.filename() : path.parent_path().filename();
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

// What is accepted and may still not be what its maker meant.
void warn_of_oddities(const PeftAdapter& adapter, const std::optional<BaseShapes>& base, const fs::path& folder) {
  std::vector<std::string> idle;
  if (adapter.kind == PeftKind::lora || adapter.kind == PeftKind::poly)
    for (const PeftSite& site : adapter.sites)
      if (std::ranges::all_of(site.tensors[1].values, [](float value) { return value == 0; }))
        idle.push_back(site.site);
  if (!idle.empty())
    log::warning("{}: lora_B is zero at {} of {} sites ({}): the adapter changes nothing there", folder.string(),
                 idle.size(), adapter.sites.size(), some_of(idle));
  const std::vector<std::string> bare = targets_without_tensors(folder, adapter, linears_of(base));
  if (!bare.empty())
    log::warning("{}: target_modules names {} without tensors ({}): the base stays as it is there", folder.string(),
                 plural(static_cast<int64_t>(bare.size()), "module"), some_of(bare));
  const std::string& declared = adapter.base.name;
  if (base && !declared.empty() && short_name(declared) != short_name(base->fingerprint.name))
    log::warning("{}: made for {} by its adapter_config.json; --base is {}, whose shapes fit", folder.string(),
                 declared, base->fingerprint.name);
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

// Method and tasks of an inventory: from its inventory.json where gaggle exported it.
nlohmann::ordered_json inventory_text(const fs::path& folder, const PeftAdapter& skills) {
  nlohmann::json words = nlohmann::json::object();
  const fs::path file = folder / words_of(Kind::inventory).sidecar;
  if (fs::exists(file)) words = read_sidecar(folder, Kind::inventory);
  std::string method = text_at(words, "method");
  if (method.empty()) method = skills.tasks == 0 ? "shared" : skills.heads == 1 ? "poly" : "mhr";
  nlohmann::ordered_json tasks = nlohmann::ordered_json::array();
  for (int64_t task = 0; task < std::max<int64_t>(1, skills.tasks); ++task)
    tasks.push_back(fmt::format("task {}", task));
  if (const auto given = words.find("tasks"); given != words.end()) {
    const bool named = given->is_array() && (skills.tasks == 0 || given->size() == tasks.size()) &&
                       std::ranges::all_of(*given, [](const auto& task) { return task.is_string(); });
    if (!named)
      user_error("{}: tasks {}; expected names of the {} tasks of adapter_config.json", file.string(),
                 shown(given->dump()), skills.tasks);
    tasks = *given;
  }
  return {{"method", method}, {"tasks", tasks}};
}

// "out" of "out", "out/" and "sub/../out".
fs::path named_folder(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

// Writes beside, into a folder that is ours alone, and renames: `to` is there whole or not at all.
void write_folder(const fs::path& to, const std::map<std::string, std::string>& files) {
  require_finite(files, "it is not finite and is not exported");
  const fs::path target = named_folder(to);
  if (fs::exists(fs::symlink_status(target))) user_error("--to {}: is there already; name a new folder", to.string());
  for (fs::path outer = fs::weakly_canonical(target); outer.has_relative_path();) {
    outer = outer.parent_path();
    if (fs::exists(outer / "registry.json"))
      user_error("--to {}: lies in the registry {}; name a folder outside", to.string(), outer.string());
  }
  require_writable(target.parent_path(), "--to");
  const fs::path beside = make_folder_beside(target);
  try {
    for (const auto& [name, bytes] : files) write_file_durable(beside / name, bytes);
    open_folder_to_others(beside);
    if (!rename_to_new(beside, target)) user_error("--to {}: is there already; name a new folder", to.string());
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(beside, ignored);
    throw;
  }
  fsync_folder(target.parent_path());
}

// What was made from a version, as a PEFT folder. Its modules are as the version names them: which endings are enough
// depends on a base that is not at hand.
void write_adapter(const PeftAdapter& adapter, const Version& from, const fs::path& to) {
  auto config = parse_json<nlohmann::ordered_json>(peft_config_json(adapter, {}));
  const auto given = parse_json<nlohmann::ordered_json>(read_file(from.folder / adapter_config_file));
  for (const char* key :
       {"target_modules", "feedforward_modules", "exclude_modules", "layers_to_transform", "layers_pattern"})
    if (given.contains(key) && !given[key].is_null()) config[key] = given[key];
  write_folder(to, {{adapter_config_file, config.dump(2) + "\n"},
                    {adapter_file, tensor_file_bytes(peft_tensors(adapter, DType::f32))}});
}

// The routing values that a site is mixed by: of the router whose path the site's begins with.
std::vector<float> logits_at(const Version& row, const std::vector<NamedTensor>& routers, const std::string& site,
                             size_t size) {
  constexpr std::string_view ending = "poly_router.module_logits";
  for (const NamedTensor& router : routers) {
    if (!router.name.ends_with(ending)) continue;
    const std::string group = router.name.substr(0, router.name.size() - ending.size());
    std::vector<float> values(size);
    if (!(site + ".").starts_with(group) || router.bytes.size() != size * sizeof(float)) continue;
    to_float(router.view(), values);
    return values;
  }
  user_error("{}: it has no routing values for site {}", row.folder.string(), site);
}

}  // namespace

NewVersion read_import(const fs::path& folder, const std::string& name, const std::optional<BaseShapes>& base) {
  if (!fs::is_directory(folder)) user_error("{}: no such folder", folder.string());
  PeftAdapter adapter = read_peft(folder);
  NewVersion version;
  version.kind = adapter.kind == PeftKind::lora ? Kind::expert : Kind::inventory;
  version.name = name;
  check_name(name, words_of(version.kind).one);
  if (base) check_sites(adapter, *base, folder);
  version.files[adapter_config_file] = read_file(folder / adapter_config_file);
  version.files[adapter_file] = tensor_file_bytes(read_tensors(folder / adapter_file));
  version.sidecar = import_sidecar(folder, adapter.base.name, base);
  if (version.kind == Kind::inventory) {
    version.sidecar.update(inventory_text(folder, adapter));
  } else if (fs::exists(folder / gate_file)) {
    read_gates(folder / gate_file, adapter);
    check_gates(adapter, folder / gate_file);
    version.files[gate_file] = tensor_file_bytes(read_tensors(folder / gate_file));
  }
  require_finite(adapter);
  warn_of_oddities(adapter, base, folder);
  version.sidecar.update(sizes_json(adapter));
  if (version.kind == Kind::expert) version.sidecar["gated"] = version.files.contains(gate_file);
  return version;
}

ImportReport import_folders(const fs::path& registry, const std::vector<std::string>& folders, const std::string& name,
                            const std::string& base, bool accept_base) {
  std::optional<BaseShapes> shapes;
  if (!base.empty()) {
    const auto model = open_model(base, "");
    shapes = {{model->spec().name, shapes_digest(model->weights()), ""}, model->weights()};
  }
  ImportReport report;
  std::optional<Registry> open;
  std::set<std::string> names;
  Table table({"folder", "", "as", "why"});
  // One after the other, so that one adapter at a time lies in memory.
  for (const std::string& folder : folders) {
    const std::string as = name.empty() ? named_folder(folder).filename().string() : name;
    NewVersion version;
    try {
      version = read_import(folder, as, shapes);
      if (!names.insert(as).second) user_error("another folder of this import is named {} too", as);
    } catch (const UserError& error) {
      table.add({folder, "refused", "", error_text(error)});
      ++report.refused;
      continue;
    }
    if (!open)
      open = Registry::open(registry, shapes ? std::optional(shapes->fingerprint) : std::nullopt, /*create=*/true,
                            accept_base);
    const std::string kind = version.kind == Kind::expert ? "" : fmt::format("{}/", words_of(version.kind).folder);
    table.add({folder, "accepted", fmt::format("{}{}@{}", kind, version.name, open->commit(version)),
               shapes ? "fits " + shapes->fingerprint.name : "base unverified (--base MODEL checks it)"});
  }
  report.text =
      table.text() + fmt::format("{} accepted, {} refused\n", folders.size() - report.refused, report.refused);
  return report;
}

void export_version(const Registry& registry, const std::string& name, const fs::path& to) {
  const Version from = registry.locate(name, {Kind::expert, Kind::inventory});
  // What was committed, and nothing that was put beside it since.
  std::map<std::string, std::string> files = {{sums_file, read_file(file_of(from, sums_file))}};
  for (const auto& [file, digest] : read_sums(from.folder)) {
    std::string& bytes = files[file] = read_file(file_of(from, file.c_str()));
    if (sha256_hex(bytes) != digest)
      user_error(
          "{}: its bytes are not those that were committed (SHA256SUMS); gaggle registry verify lists such files",
          (from.folder / file).string());
  }
  write_folder(to, files);
}

void export_scale_in_b(const Registry& registry, const std::string& name, const fs::path& to) {
  const Version from = registry.locate(name, {Kind::expert});
  write_adapter(with_scale_in_b(read_adapter(from)), from, to);
}

void export_mean(const Registry& registry, const std::string& name, const fs::path& to) {
  const Version from = registry.locate(name, {Kind::inventory});
  const PeftAdapter skills = read_adapter(from);
  if (skills.tasks == 1 && skills.skills > 1)
    log::info("{}: this is the average of its skills, which was not scored; --task {} writes the mixture that was",
              from.pin(), tasks_of(from)[0]);
  write_adapter(mean_of_skills(skills), from, to);
}

void export_mixture(const Registry& registry, const std::string& name, const std::string& task, const fs::path& to) {
  const Version from = registry.locate(name, {Kind::inventory, Kind::routing_row});
  const bool is_row = from.kind == Kind::routing_row;
  const Version inventory = is_row ? parent_of(registry, from) : from;
  const PeftAdapter skills = read_adapter(inventory);
  if (skills.tasks == 0) user_error("{}: one adapter for all tasks; export it without --task", from.pin());
  const auto tasks = is_row ? std::vector<std::string>{text_at(read_sidecar(from), "task")} : tasks_of(from);
  const auto found = task.empty() && tasks.size() == 1 ? tasks.begin() : std::ranges::find(tasks, task);
  if (found == tasks.end())
    user_error("--task {}: {} has no routing row for it; it has {}", task, from.pin(), join(tasks, ", "));
  const std::vector<NamedTensor> rows = is_row ? read_routing_row(from) : std::vector<NamedTensor>();
  const auto per_task = static_cast<size_t>(skills.heads * skills.skills);
  const auto row = static_cast<size_t>(found - tasks.begin());
  const auto logits_of = [&](const PeftSite& site) {
    if (is_row) return logits_at(from, rows, site.site, per_task);
    const float* table = site.tensors.back().values.data() + row * per_task;
    return std::vector<float>(table, table + per_task);
  };
  write_adapter(mixture_of_skills(skills, logits_of), inventory, to);
}

}  // namespace gaggle
