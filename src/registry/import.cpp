#include "registry/import.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "formats/checkpoint.h"
#include "formats/peft.h"
#include "formats/peft_ia3.h"
#include "formats/peft_poly.h"
#include "registry/commit.h"
#include "registry/routed.h"
#include "registry/sidecar.h"

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
    user_error("{}: site {} is outside the layers of {}; gaggle adapts neither head nor embedding",
               folder.string(), site, model);
  return found->shape;
}

// Of the widths the adapter has.
template <class Site>
void check_sites(const std::vector<Site>& sites, int64_t heads, const BaseShapes& base,
                 const fs::path& folder) {
  const std::string& model = base.fingerprint.name;
  for (const Site& site : sites) {
    const std::vector<int64_t> there = shape_in_base(site.site, base, folder);
    if (there[0] % heads != 0 || there[1] % heads != 0)
      user_error("{}: site {} is {} wide in and {} out in {}, which {} heads do not divide", folder.string(),
                 site.site, there[1], there[0], model, heads);
    if (there != std::vector<int64_t>{site.d_out, site.d_in})
      user_error("{}: site {} is {} wide in and {} out, in {} it is {} and {}", folder.string(), site.site,
                 site.d_in, site.d_out, model, there[1], there[0]);
  }
}

void check_vectors(const PeftIa3& ia3, const BaseShapes& base, const fs::path& folder) {
  for (const PeftIa3Site& site : ia3.sites) {
    const int64_t width = shape_in_base(site.site, base, folder)[site.feedforward ? 1 : 0];
    if (width != site.width)
      user_error("{}: site {} has a vector of {} values for its {}, which is {} wide in {}", folder.string(),
                 site.site, site.width, site.feedforward ? "input" : "output", width, base.fingerprint.name);
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

void require_folder(const fs::path& folder, const std::string& name, const char* what) {
  check_name(name, what);
  if (!fs::is_directory(folder)) user_error("{}: no such folder", folder.string());
}

// Method and tasks of a Poly or IA3 folder: from its routed.json where gaggle exported it. `rows`: tasks of its
// routing; 0: one adapter for all.
nlohmann::ordered_json routed_words(const fs::path& folder, int64_t rows, int64_t heads) {
  nlohmann::json words = nlohmann::json::object();
  const fs::path file = folder / words_of(Kind::routed).sidecar;
  if (fs::exists(file)) words = read_sidecar(folder, Kind::routed);
  std::string method = text_at(words, "method");
  if (method.empty()) method = rows == 0 ? "shared" : heads == 1 ? "poly" : "mhr";
  nlohmann::ordered_json tasks = nlohmann::ordered_json::array();
  for (int64_t task = 0; task < std::max<int64_t>(1, rows); ++task)
    tasks.push_back(fmt::format("task {}", task));
  if (const auto given = words.find("tasks"); given != words.end()) {
    const bool named = given->is_array() && (rows == 0 || given->size() == tasks.size()) &&
                       std::ranges::all_of(*given, [](const auto& task) { return task.is_string(); });
    if (!named)
      user_error("{}: tasks {}; expected names of the {} tasks of adapter_config.json", file.string(),
                 given->dump(), rows);
    tasks = *given;
  }
  return {{"method", method}, {"tasks", tasks}};
}

// Writes beside and renames: `to` is there whole or not at all.
void write_folder(const fs::path& to, const std::map<std::string, std::string>& files) {
  if (fs::exists(fs::symlink_status(to)))
    user_error("--to {}: is there already; name a new folder", to.string());
  const fs::path parent = fs::absolute(to).parent_path();
  require_writable(parent, "--to");
  const fs::path beside = fs::absolute(to).string() + ".part";
  fs::create_directory(beside);
  for (const auto& [name, bytes] : files) write_file_durable(beside / name, bytes);
  fs::rename(beside, to);
  fsync_folder(parent);
}

}  // namespace

BaseShapes base_shapes(const ModelCheckpoint& model) {
  BaseShapes base;
  base.weights = model.weights();
  base.fingerprint = {model.spec().name, shapes_digest(base.weights), ""};
  return base;
}

NewExpert read_import(const fs::path& folder, const std::string& name, const std::optional<BaseShapes>& base) {
  require_folder(folder, name, "expert");
  const PeftLora lora = read_peft_lora(folder);
  if (base) check_sites(lora.sites, 1, *base, folder);
  NewExpert expert;
  expert.name = name;
  expert.adapter_config = read_file(folder / lora_config_file);
  expert.lora = tensors_of(folder / lora_file);
  if (fs::exists(folder / gate_file)) {
    expert.gates = tensors_of(folder / gate_file);
    for (const NamedTensor& gate : expert.gates)
      if (!gate.name.ends_with(".gate") || gate.shape.size() != 1 || gate.dtype != DType::f32)
        user_error("{}: {} is no gate (\"<module path>.gate\", one fp32 vector)", (folder / gate_file).string(),
                   gate.name);
  }
  expert.expert_json = import_sidecar(folder, lora.base.name, base).dump();
  return expert;
}

bool holds_routed(const fs::path& folder) {
  const std::string type = peft_type(folder);
  return type == "POLY" || type == "IA3" || type == poly_ia3_type;
}

NewRouted read_routed_import(const fs::path& folder, const std::string& name,
                             const std::optional<BaseShapes>& base) {
  require_folder(folder, name, "routed adapter");
  nlohmann::ordered_json sidecar;
  if (peft_type(folder) == "POLY") {
    const PeftPoly poly = read_peft_poly(folder);
    if (base) check_sites(poly.sites, poly.heads, *base, folder);
    sidecar = import_sidecar(folder, poly.base.name, base);
    sidecar.update(routed_words(folder, poly.tasks, poly.heads));
  } else {
    const PeftIa3 ia3 = read_peft_ia3(folder);
    if (base) check_vectors(ia3, *base, folder);
    sidecar = import_sidecar(folder, ia3.base.name, base);
    sidecar.update(routed_words(folder, ia3.tasks, ia3.heads));
  }
  return {name, read_file(folder / lora_config_file), tensors_of(folder / lora_file), sidecar.dump(), ""};
}

void export_version(const Registry& registry, const std::string& name, const fs::path& to) {
  const fs::path from = registry.locate(name, {Kind::expert, Kind::routed}).folder;
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(from))
    if (entry.is_regular_file() && !entry.is_symlink())
      files[entry.path().filename()] = read_file(entry.path());
  write_folder(to, files);
}

void export_mean(const Registry& registry, const std::string& name, const fs::path& to) {
  const fs::path from = registry.locate(name, {Kind::routed}).folder;
  std::string config_text;
  std::vector<NamedTensor> tensors;
  if (peft_type(from) == "POLY") {
    const PeftLora mean = mean_of_skills(read_peft_poly(from));
    config_text = peft_config_json(mean, {});
    tensors = peft_tensors(mean, DType::f32);
  } else {
    const PeftIa3 mean = mean_of_skills(read_peft_ia3(from));
    config_text = peft_ia3_config_json(mean, {});
    tensors = peft_ia3_tensors(mean, DType::f32);
  }
  // The modules as this folder names them: which endings are enough depends on a base that is not at hand.
  auto config = nlohmann::ordered_json::parse(config_text);
  const auto own_config = nlohmann::ordered_json::parse(read_file(from / lora_config_file));
  for (const char* key : {"target_modules", "feedforward_modules", "exclude_modules"})
    if (own_config.contains(key)) config[key] = own_config[key];
  write_folder(to, {{lora_config_file, config.dump(2) + "\n"}, {lora_file, file_bytes(tensors)}});
}

}  // namespace gaggle
