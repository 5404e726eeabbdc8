#include "registry/import.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
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

// "Owner/Name", "folder/name/", "name" and "name-bnb-4bit" are one.
std::string short_name(const std::string& model) {
  std::string name = declared_base(model).model;
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

// What is accepted and may still not be what its maker meant.
void warn_of_oddities(const PeftFiles& files, const PeftAdapter& adapter, const std::optional<BaseShapes>& base) {
  const fs::path& folder = files.folder;
  std::vector<std::string> idle;
  if (adapter.kind == PeftKind::lora || adapter.kind == PeftKind::poly)
    for (const PeftSite& site : adapter.sites)
      if (std::ranges::all_of(site.tensors[1].values, [](float value) { return value == 0; }))
        idle.push_back(site.site);
  if (!idle.empty())
    log::warning("{}: lora_B is zero at {} of {} sites ({}): the adapter changes nothing there", folder.string(),
                 idle.size(), adapter.sites.size(), some_of(idle));
  const std::vector<std::string> bare = targets_without_tensors(files, adapter, linears_of(base));
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
    check_gates(adapter, gates);
    version.files[gate_file] = tensor_file_bytes(read_tensors(gates));
    if (const double bias = gate_bias_in(folder / words_of(Kind::expert).sidecar); bias != 0)
      version.sidecar[gate_bias_key] = bias;
  }
  require_finite(adapter);
  warn_of_oddities(files, adapter, base);
  version.sidecar.update(sizes_json(adapter));
  if (const std::string category = category_in(folder / words_of(Kind::expert).sidecar); !category.empty())
    version.sidecar[category_key] = category;
  if (version.kind == Kind::expert) version.sidecar["gated"] = version.files.contains(gate_file);
  return version;
}

}  // namespace gaggle
