// Collections: pinned experts with their gates in one file; and what a pin or a parent protects.
#include <algorithm>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/long_phase.h"
#include "base/names.h"
#include "base/table.h"
#include "formats/safetensors.h"
#include "registry/new_version.h"
#include "registry/pins.h"
#include "registry/stage.h"
#include "registry/sums.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

constexpr const char* gates_file = "gates.safetensors";

// "<expert>/<module path>.gate" of every gated expert, in order of name.
std::string gates_bytes(const std::vector<Version>& gated) {
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  std::vector<TensorView> views;
  for (const Version& expert : gated) {
    files.push_back(std::make_unique<SafetensorsFile>(expert.folder / gate_file));
    for (TensorView view : files.back()->tensors()) {
      view.name = expert.name + "/" + view.name;
      views.push_back(std::move(view));
    }
  }
  std::ranges::sort(views, {}, &TensorView::name);
  return safetensors_bytes(views);
}

bool pins_name(const Version& collection, const std::string& expert) {
  return std::ranges::any_of(read_pins(collection),
                             [&](const PinnedExpert& pinned) { return pinned.pin.name == expert; });
}

// Takes back a version that should not have been committed.
void withdraw(const Registry& registry, const Version& version) {
  const fs::path parent = version.folder.parent_path();
  keep_last_number(registry.folder(), parent, parent);
  const Stage stage(registry.folder());
  if (fs::exists(version.folder)) rename_to_new(version.folder, stage.folder() / version.version);
  std::error_code ignored;
  fs::remove(parent / "CURRENT", ignored);  // the newest that is left is in use without it
  advance_current(parent);
}

}  // namespace

PinnedExpert pin_of(const Version& expert) {
  auto sums = read_sums(expert.folder);
  return {{expert.name, expert.version}, sums[adapter_file], sums[gate_file]};
}

std::vector<PinnedExpert> read_pins(const Version& collection) {
  std::vector<PinnedExpert> pins;
  const nlohmann::json sidecar = read_sidecar(collection);
  try {
    for (const auto& entry : sidecar.at("experts"))
      pins.push_back({parse_pin(entry.at("name").get<std::string>() + "@" + entry.at("version").get<std::string>(),
                                "pinned expert"),
                      entry.at("lora_sha256"), entry.at("gate_sha256")});
    return pins;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: not a collection's description ({})",
               (collection.folder / words_of(Kind::collection).sidecar).string(), error.what());
  }
}

Version pinned_expert(const Registry& registry, const Version& collection, const PinnedExpert& pinned) {
  const std::string& name = collection.name;
  const auto found = registry.find(Kind::expert, pinned.pin.text());
  if (!found)
    user_error(
        "{}: collection {} pins {}, which is not there any more; gaggle registry collect {} --drop {} leaves it out",
        registry.folder().string(), collection.pin(), pinned.pin.text(), name, pinned.pin.name);
  const PinnedExpert now = pin_of(*found);
  if (now.lora_sha256 != pinned.lora_sha256 || now.gate_sha256 != pinned.gate_sha256)
    user_error("{}: {} is not the one that was pinned; gaggle registry collect {} --add {} pins the one that is there",
               collection.folder.string(), pinned.pin.text(), name, pinned.pin.name);
  return *found;
}

std::string Registry::collect(const std::string& name, const std::vector<std::string>& experts) {
  const std::vector<std::string> wanted = experts.empty() ? experts_to_collect(*this) : experts;
  if (wanted.empty()) user_error("{}: no experts to collect", folder_.string());
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::vector<Version> gated;
  std::vector<PinnedExpert> pins;
  std::set<std::string> seen;
  LongPhase phase("collecting " + plural(wanted.size(), "expert"), 2 * static_cast<double>(wanted.size()));
  for (const std::string& text : wanted) {
    phase.add();
    const Version expert = load(Kind::expert, text);
    if (!seen.insert(expert.name).second) user_error("collection {}: expert {} is named twice", name, expert.name);
    const PinnedExpert& pinned = pins.emplace_back(pin_of(expert));
    list.push_back({{"name", expert.name},
                    {"version", expert.version},
                    {"lora_sha256", pinned.lora_sha256},
                    {"gate_sha256", pinned.gate_sha256}});
    if (!pinned.gate_sha256.empty()) gated.push_back(expert);
  }
  const std::string version =
      commit({Kind::collection, name, "", {{gates_file, gates_bytes(gated)}}, {}, {{"experts", list}}});
  // Who removed an expert since it was looked at did not see this collection: one of the two looks again in time.
  const Version made = load(Kind::collection, name + "@" + version);
  try {
    for (const PinnedExpert& pinned : pins) {
      pinned_expert(*this, made, pinned);
      phase.add();
    }
  } catch (const UserError& error) {
    withdraw(*this, made);
    user_error("{}; it was removed meanwhile, and nothing was collected", error_text(error));
  }
  return version;
}

std::vector<std::string> holders_of(const Registry& registry, const Version& version) {
  if (version.kind != Kind::expert && version.kind != Kind::inventory) return {};
  const bool is_expert = version.kind == Kind::expert;
  std::vector<std::string> holders;
  for (const Version& other : registry.list(is_expert ? Kind::collection : Kind::routing_row)) {
    try {
      if (is_expert ? pins_name(other, version.name)
                    : parse_pin(text_at(read_sidecar(other), "parent"), "parent").name == version.name)
        holders.push_back(other.pin());
    } catch (const UserError& error) {
      log::warning("{}; what {} needs is not known", error_text(error), other.pin());
    }
  }
  return holders;
}

}  // namespace gaggle
