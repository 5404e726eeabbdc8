// Collections: pinned experts with their gates in one file; and what a pin or a parent protects.
#include <algorithm>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "formats/safetensors.h"
#include "registry/new_version.h"
#include "registry/pins.h"
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

std::string Registry::collect(const std::string& name, const std::vector<std::string>& experts) {
  std::vector<std::string> wanted = experts;
  if (wanted.empty()) wanted = names_in(root_of(Kind::expert));
  if (wanted.empty()) user_error("{}: no experts to collect", folder_.string());
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::vector<Version> gated;
  std::set<std::string> seen;
  for (const std::string& text : wanted) {
    const Version expert = load(Kind::expert, text);
    if (!seen.insert(expert.name).second) user_error("collection {}: expert {} is named twice", name, expert.name);
    const PinnedExpert pinned = pin_of(expert);
    list.push_back({{"name", expert.name},
                    {"version", expert.version},
                    {"lora_sha256", pinned.lora_sha256},
                    {"gate_sha256", pinned.gate_sha256}});
    if (!pinned.gate_sha256.empty()) gated.push_back(expert);
  }
  return commit({Kind::collection, name, "", {{gates_file, gates_bytes(gated)}}, {}, {{"experts", list}}});
}

std::vector<std::string> holders_of(const Registry& registry, const Version& version) {
  std::vector<std::string> holders;
  if (version.kind == Kind::expert)
    for (const Version& collection : registry.list(Kind::collection))
      if (std::ranges::any_of(read_pins(collection),
                              [&](const PinnedExpert& pinned) { return pinned.pin.name == version.name; }))
        holders.push_back(collection.pin());
  if (version.kind == Kind::inventory)
    for (const Version& row : registry.list(Kind::routing_row))
      if (parse_pin(text_at(read_sidecar(row), "parent"), "parent").name == version.name) holders.push_back(row.pin());
  return holders;
}

}  // namespace gaggle
