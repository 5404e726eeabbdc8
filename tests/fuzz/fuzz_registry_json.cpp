// The sidecars of a registry (expert.json, inventory.json, routing_row.json, collection.json) and registry.json: the
// input stands in place of each of them, with the sums that fit it.
#include <map>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "formats/safetensors.h"
#include "fuzz.h"
#include "registry/layout.h"
#include "registry/listing.h"
#include "registry/new_version.h"
#include "registry/pins.h"
#include "registry/sums.h"
#include "registry/version_files.h"

namespace gaggle::fuzz {
namespace {

const BaseFingerprint base{"tiny", "shapes", "content"};

NamedTensor tensor(const std::string& name, std::vector<int64_t> shape, size_t count) {
  return from_float(name, std::move(shape), std::vector<float>(count, 0.5f), DType::f32);
}

// A registry with one version of each kind.
Registry make_registry(const fs::path& folder) {
  Registry registry = Registry::open(folder, base, true);
  const std::string site = "model.layers.0.self_attn.q_proj", prefix = "base_model.model." + site;
  NewVersion expert{Kind::expert, "hen", "key-of-hen", {}, {}, {{"task", "eggs"}}};
  expert.files[adapter_config_file] = R"({"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q_proj"]})";
  expert.files[adapter_file] = tensor_file_bytes(
      std::vector{tensor(prefix + ".lora_A.weight", {1, 2}, 2), tensor(prefix + ".lora_B.weight", {2, 1}, 2)});
  registry.commit(expert);
  NewVersion skills{Kind::inventory, "skills", "key-of-skills", {}, {}, {{"tasks", {"eggs", "grain"}}}};
  skills.files[adapter_config_file] =
      R"({"peft_type": "POLY", "r": 1, "n_tasks": 2, "n_skills": 2, "target_modules": ["q_proj"]})";
  skills.files[adapter_file] = tensor_file_bytes(std::vector{tensor(prefix + ".poly_lora_A", {1, 2, 2, 1}, 4),
                                                             tensor(prefix + ".poly_lora_B", {1, 2, 1, 2}, 4),
                                                             tensor(prefix + ".poly_router.module_logits", {2, 2}, 4)});
  registry.commit(skills);
  NewVersion row{Kind::routing_row, "row", "key-of-row", {}, {}, {{"task", "new"}, {"parent", "skills@v0001"}}};
  row.files[routing_row_file] = tensor_file_bytes(std::vector{tensor(site, {1, 2}, 2)});
  registry.commit(row);
  registry.collect("flock", {"hen"});
  return registry;
}

struct Place {
  Version version;
  fs::path sidecar;
  std::map<std::string, std::string> sums;  // of the version's files
};

std::vector<Place> places_in(const Registry& registry) {
  std::vector<Place> places;
  for (const Kind kind : all_kinds)
    for (const Version& version : registry.list(kind))
      places.push_back({version, version.folder / words_of(kind).sidecar, read_sums(version.folder)});
  return places;
}

void put_in(Place& place, std::string_view bytes) {
  write(place.sidecar, bytes);
  place.sums[words_of(place.version.kind).sidecar] = sha256_hex(bytes);
  std::string text;
  for (const auto& [name, digest] : place.sums) text += digest + "  " + name + "\n";
  write(place.version.folder / sums_file, text);
}

void read_all(const Registry& registry, const std::vector<Place>& places) {
  listing_page(registry);
  soundness_block(registry, registry.verify(), "registry");
  for (const Place& place : places) attempt([&] { holders_of(registry, place.version); });
  const Version& first = places[0].version;
  key_of(first.folder, first.kind);
  parents_of(first.folder, first.kind);
  attempt([&] { sidecar_page(first); });
  attempt([&] { tasks_of(registry.load(Kind::inventory, "skills")); });
  attempt([&] { parent_of(registry, registry.load(Kind::routing_row, "row")); });
  attempt([&] { changes_text({}, read_pins(registry.load(Kind::collection, "flock"))); });
}

}  // namespace

void try_input(std::string_view bytes) {
  static const Scratch scratch;
  static const Registry registry = make_registry(scratch.path() / "registry");
  static std::vector<Place> places = places_in(registry);
  for (Place& place : places) put_in(place, bytes);
  read_all(registry, places);
  fs::create_directories(scratch.path() / "described");
  write(scratch.path() / "described/registry.json", bytes);
  Registry::open(scratch.path() / "described", base, false);
}

}  // namespace gaggle::fuzz
