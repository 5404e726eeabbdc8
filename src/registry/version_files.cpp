#include "registry/version_files.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/table.h"
#include "base/terminal.h"
#include "formats/safetensors.h"
#include "registry/layout.h"
#include "registry/sums.h"

namespace gaggle {

using nlohmann::json;

fs::path file_of(const Version& version, const char* name) {
  return without_links(version.folder, version.folder / name);
}

namespace {

json read_object(const fs::path& file) {
  try {
    json sidecar = parse_json(read_file(file));
    if (!sidecar.is_object()) user_error("{}: expected a JSON object", file.string());
    return sidecar;
  } catch (const json::exception& error) {
    user_error("{}: not JSON ({})", file.string(), error.what());
  }
}

}  // namespace

json read_sidecar(const fs::path& version_folder, Kind kind) {
  return read_object(without_links(version_folder, version_folder / words_of(kind).sidecar));
}

json read_sidecar(const Version& version) { return read_sidecar(version.folder, version.kind); }

std::string key_of(const fs::path& version_folder, Kind kind) {
  try {
    return text_at(read_sidecar(version_folder, kind), "key");
  } catch (const UserError&) {
    return "";
  }
}

std::vector<std::string> parents_of(const fs::path& version_folder, Kind kind) {
  try {
    return read_sidecar(version_folder, kind).value("parents", std::vector<std::string>());
  } catch (const UserError&) {
  } catch (const json::exception&) {
  }
  return {};
}

std::string digest_of(const Version& version) {
  const fs::path sums = file_of(version, sums_file);
  return fs::exists(sums) ? sums_digest(version.folder) : "";
}

bool is_gated(const Version& expert) { return fs::is_regular_file(expert.folder / gate_file); }

double gate_bias_in(const fs::path& file) {
  if (!fs::exists(file)) return 0;
  const json sidecar = read_object(file);
  const auto found = sidecar.find(gate_bias_key);
  if (found == sidecar.end()) return 0;
  const double bias = found->is_number() ? found->get<double>() : NAN;
  if (!(std::abs(bias) <= 20))
    user_error("{}: {} {}; expected a number between -20 and 20", file.string(), gate_bias_key, shown(found->dump()));
  return bias;
}

std::string category_in(const fs::path& file) {
  return fs::exists(file) ? text_at(read_object(file), category_key) : "";
}

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t number_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

json object_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : json::object();
}

std::vector<std::string> tasks_of(const Version& inventory) {
  try {
    return read_sidecar(inventory).at("tasks").get<std::vector<std::string>>();
  } catch (const json::exception&) {
    user_error("{}: expected \"tasks\", a list of names in the order of the routing table",
               (inventory.folder / words_of(inventory.kind).sidecar).string());
  }
}

PeftAdapter read_adapter(const Version& version) {
  for (const char* name : {adapter_config_file, adapter_file})
    if (!fs::exists(file_of(version, name))) user_error("{}: {} is not there", version.folder.string(), name);
  if (version.kind == Kind::expert) {
    PeftAdapter lora = read_peft(version.folder, {PeftKind::lora});
    if (fs::exists(file_of(version, gate_file))) read_gates(version.folder / gate_file, lora);
    return lora;
  }
  PeftAdapter skills = read_peft(version.folder, {PeftKind::poly, PeftKind::ia3, PeftKind::poly_ia3});
  const auto tasks = static_cast<int64_t>(tasks_of(version).size());
  if (skills.tasks > 0 && skills.tasks != tasks)
    user_error("{}: names {}, but the routing table has {}", (version.folder / words_of(version.kind).sidecar).string(),
               plural(tasks, "task"), skills.tasks);
  return skills;
}

Version parent_of(const Registry& registry, const Version& routing_row) {
  const json sidecar = read_sidecar(routing_row);
  const std::string name = text_at(sidecar, "parent"), digest = text_at(sidecar, "parent_sha256");
  const auto parent = registry.find(Kind::inventory, name);
  if (!parent)
    user_error("{}: routing row {} mixes the skills of inventory {}, which is not there", registry.folder().string(),
               routing_row.pin(), name);
  if (const std::string there = digest_of(*parent); there != digest)
    user_error(
        "{}: routing row {} was made from another {} (its SHA256SUMS has digest {}…; the one that is there has "
        "{}…)",
        registry.folder().string(), routing_row.pin(), name, digest.substr(0, 12), there.substr(0, 12));
  return *parent;
}

std::vector<NamedTensor> read_tensors(const fs::path& file) {
  const SafetensorsFile tensors(file);
  std::vector<NamedTensor> all;
  for (const TensorView& view : tensors.tensors())
    all.push_back({view.name, view.dtype, view.shape, {view.bytes.begin(), view.bytes.end()}});
  return all;
}

void require_finite(const std::map<std::string, std::string>& files, const std::string& what) {
  for (const auto& [name, bytes] : files)
    if (name.ends_with(".safetensors"))
      if (const std::string found = not_finite(SafetensorsFile(std::as_bytes(std::span(bytes)), name)); !found.empty())
        throw NotFinite(fmt::format("{}: {}", what, found));
}

std::string tensor_file_bytes(const std::vector<NamedTensor>& tensors) {
  std::vector<TensorView> views;
  for (const NamedTensor& tensor : tensors) views.push_back(tensor.view());
  return tensor_file_bytes(std::move(views));
}

std::string tensor_file_bytes(std::vector<TensorView> tensors) {
  std::ranges::sort(tensors, {}, &TensorView::name);
  return safetensors_bytes(tensors);
}

std::vector<NamedTensor> read_routing_row(const Version& routing_row) {
  const fs::path file = file_of(routing_row, routing_row_file);
  std::vector<NamedTensor> tensors = read_tensors(file);
  for (const NamedTensor& tensor : tensors)
    if (tensor.dtype != DType::f32)
      user_error("{}: {} has type {}; expected F32", file.string(), tensor.name, name_of(tensor.dtype));
  return tensors;
}

}  // namespace gaggle
