// Collections: pinned experts with their gates in one file, and what a pin protects.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "formats/safetensors.h"
#include "registry/layout.h"
#include "registry/pins.h"
#include "registry/registry.h"
#include "registry/sidecar.h"
#include "registry/stage.h"
#include "registry/sums.h"

namespace gaggle {
namespace {

constexpr const char* gates_file = "gates.safetensors";

// "<expert>/<module path>.gate" of every gated expert, in order of name.
std::string gates_bytes(const std::vector<std::pair<std::string, fs::path>>& gated) {
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  std::vector<TensorView> views;
  for (const auto& [name, folder] : gated) {
    files.push_back(std::make_unique<SafetensorsFile>(folder / gate_file));
    for (TensorView view : files.back()->tensors()) {
      view.name = name + "/" + view.name;
      views.push_back(std::move(view));
    }
  }
  std::sort(views.begin(), views.end(),
            [](const auto& left, const auto& right) { return left.name < right.name; });
  return safetensors_bytes(views);
}

}  // namespace

std::vector<PinnedExpert> read_pins(const fs::path& version_folder) {
  const fs::path file = version_folder / words_of(Kind::collection).sidecar;
  try {
    std::vector<PinnedExpert> pins;
    const auto json = nlohmann::json::parse(read_file(without_links(version_folder, file)));
    for (const auto& entry : json.at("experts"))
      pins.push_back(
          {parse_pin(entry.at("name").get<std::string>() + "@" + entry.at("version").get<std::string>(),
                     "pinned expert"),
           entry.at("lora_sha256"), entry.at("gate_sha256")});
    return pins;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: not a collection's description ({})", file.string(), error.what());
  }
}

std::string Registry::collect(const std::string& name, const std::vector<std::string>& experts) {
  check_name(name, "collection");
  std::vector<std::string> wanted = experts;
  if (wanted.empty()) wanted = names_in(folder_ / "experts");
  if (wanted.empty()) user_error("{}: no experts to collect", folder_.string());
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::vector<std::pair<std::string, fs::path>> gated;
  std::set<std::string> seen;
  for (const std::string& text : wanted) {
    const Pin pin = parse_pin(text, "expert");
    if (!seen.insert(pin.name).second) user_error("collection {}: expert {} is named twice", name, pin.name);
    const fs::path folder = folder_of(text);
    const auto sums = read_sums(folder);
    const auto gate = sums.find(gate_file);
    list.push_back({{"name", pin.name},
                    {"version", folder.filename().string()},
                    {"lora_sha256", sums.contains(lora_file) ? sums.at(lora_file) : ""},
                    {"gate_sha256", gate == sums.end() ? "" : gate->second}});
    if (gate != sums.end()) gated.emplace_back(pin.name, folder);
  }
  const nlohmann::ordered_json json = {{"format", 1}, {"name", name}, {"experts", list}};
  Stage stage(folder_);
  stage.write(words_of(Kind::collection).sidecar, json.dump(2) + "\n");
  stage.write(gates_file, gates_bytes(gated));
  stage.write_sums();
  return stage.commit(folder_ / "collections" / name,
                      [&](const fs::path& theirs) { return read_sums(stage.folder()) == read_sums(theirs); });
}

std::vector<std::string> Registry::pins(const std::string& name) const {
  std::vector<std::string> texts;
  for (const PinnedExpert& pinned : read_pins(folder_of(name, "", Kind::collection)))
    texts.push_back(pinned.pin.text());
  return texts;
}

std::vector<Expert> Registry::load_collection(const std::string& name) const {
  std::vector<Expert> experts;
  for (const std::string& pin : pins(name)) experts.push_back(load(pin));
  return experts;
}

std::vector<std::string> pinned_by(const fs::path& registry, const std::string& expert) {
  std::vector<std::string> holders;
  const fs::path collections = registry / "collections";
  for (const std::string& name : names_in(collections))
    for (const std::string& version : versions_in(collections / name)) {
      const auto pins = read_pins(collections / name / version);
      if (std::any_of(pins.begin(), pins.end(), [&](const auto& pinned) { return pinned.pin.name == expert; }))
        holders.push_back(name + "@" + version);
    }
  return holders;
}

}  // namespace gaggle
