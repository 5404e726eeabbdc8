#include "registry/routed.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "registry/commit.h"
#include "registry/layout.h"
#include "registry/sidecar.h"
#include "registry/sums.h"
#include "registry/versions.h"

namespace gaggle {
namespace {

constexpr std::string_view skills_suffix = ".poly_lora_A";              // [heads, skills, d_in / heads, r]
constexpr std::string_view vectors_suffix = ".poly_ia3_l";              // [heads, skills, width / heads]
constexpr std::string_view rows_suffix = ".poly_router.module_logits";  // [tasks, heads · skills]

// What stands in routed.json of tensors with Poly keys, low-rank pairs or (IA)³'s vectors (no rank);
// empty for another form.
nlohmann::ordered_json poly_sizes(const std::vector<NamedTensor>& tensors) {
  int64_t sites = 0, tasks = 0;
  std::vector<int64_t> shape;
  for (const NamedTensor& tensor : tensors) {
    if (tensor.name.ends_with(rows_suffix)) tasks = tensor.shape.at(0);
    const bool pairs = tensor.name.ends_with(skills_suffix);
    if (!pairs && !tensor.name.ends_with(vectors_suffix)) continue;
    GAGGLE_CHECK(tensor.shape.size() == (pairs ? 4 : 3), "{} {}", tensor.name, shape_text(tensor.shape));
    shape = tensor.shape;
    ++sites;
  }
  if (sites == 0) return nlohmann::ordered_json::object();
  nlohmann::ordered_json sizes;
  if (shape.size() == 4) sizes["rank"] = shape[3];
  sizes.update({{"sites", sites}, {"tasks", tasks}, {"skills", shape[1]}, {"heads", shape[0]}});
  return {{"poly", sizes}};
}

RoutedInfo routed_info(const Version& version, const BaseFingerprint& base) {
  RoutedInfo info;
  const nlohmann::json sidecar = describe(version, base, info), poly = object_at(sidecar, "poly");
  info.method = text_at(sidecar, "method");
  info.tasks = static_cast<int64_t>(sidecar.value("tasks", nlohmann::json::array()).size());
  info.rank = number_at(poly, "rank");
  info.sites = number_at(poly, "sites");
  info.skills = number_at(poly, "skills");
  info.heads = number_at(poly, "heads");
  return info;
}

std::vector<std::string> task_names(const nlohmann::json& sidecar, const fs::path& file) {
  try {
    return sidecar.at("tasks").get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception&) {
    user_error("{}: expected \"tasks\", a list of names in the order of the routing rows", file.string());
  }
}

}  // namespace

std::string commit_routed(const Registry& registry, const NewRouted& routed) {
  check_name(routed.name, words_of(Kind::routed).one);
  const nlohmann::ordered_json sizes = poly_sizes(routed.tensors);
  const std::string json = complete_sidecar(routed.name, routed.key, routed.routed_json, sizes);
  const auto tasks = task_names(nlohmann::json::parse(json), words_of(Kind::routed).sidecar);
  GAGGLE_CHECK(sizes.empty() || sizes["poly"]["tasks"] == tasks.size(), "{} names for other routing rows",
               tasks.size());
  Stage stage(registry.folder());
  stage.write(lora_config_file, routed.adapter_config);
  stage.write(lora_file, file_bytes(routed.tensors));
  stage.write(words_of(Kind::routed).sidecar, json);
  return commit_stage(stage, registry.folder(), Kind::routed, routed.name, routed.key);
}

std::vector<RoutedInfo> list_routed(const Registry& registry) {
  const BaseFingerprint base = registry.base();
  std::vector<RoutedInfo> infos;
  for (const Version& version : versions_of(registry, Kind::routed))
    infos.push_back(routed_info(version, base));
  return infos;
}

std::optional<RoutedInfo> find_routed(const Registry& registry, const std::string& name) {
  const auto version = find_version(registry, Kind::routed, name);
  return version ? std::optional(routed_info(*version, registry.base())) : std::nullopt;
}

std::optional<RoutedInfo> find_routed_key(const Registry& registry, const std::string& name,
                                          const std::string& key) {
  const auto version = find_version_of_key(registry, Kind::routed, name, key);
  return version ? std::optional(routed_info(*version, registry.base())) : std::nullopt;
}

StoredRouted load_routed(const Registry& registry, const std::string& name, const std::string& version) {
  StoredRouted routed;
  routed.folder = registry.folder_of(name, version, Kind::routed);
  routed.name = parse_pin(name, words_of(Kind::routed).one).name;
  routed.version = routed.folder.filename();
  for (const char* file : {lora_config_file, lora_file, sums_file})
    without_links(registry.folder(), routed.folder / file);
  const nlohmann::json sidecar = read_sidecar(routed.folder, Kind::routed);
  const fs::path json_file = routed.folder / words_of(Kind::routed).sidecar;
  routed.key = text_at(sidecar, "key");
  routed.digest = sums_digest(routed.folder);
  routed.json = sidecar.dump(2);
  routed.tasks = task_names(sidecar, json_file);
  const bool pairs = peft_type(routed.folder) == "POLY";
  if (pairs)
    routed.poly = read_peft_poly(routed.folder);
  else
    routed.ia3 = read_peft_ia3(routed.folder);
  const int64_t rows = pairs ? routed.poly.tasks : routed.ia3.tasks;
  if (rows != static_cast<int64_t>(routed.tasks.size()) && rows > 0)
    user_error("{}: names {} tasks, but there are {} routing rows", json_file.string(), routed.tasks.size(),
               rows);
  return routed;
}

}  // namespace gaggle
