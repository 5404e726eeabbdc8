// Committing: what all kinds share; then experts: a LoRA with or without gates, gates for a LoRA that is there.
#include "registry/commit.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/names.h"
#include "formats/safetensors.h"
#include "registry/layout.h"
#include "registry/registry.h"
#include "registry/sidecar.h"
#include "registry/sums.h"

namespace gaggle {
namespace {

constexpr std::string_view rank_suffix = ".lora_A.weight";
constexpr std::string_view gate_suffix = ".gate";

// Largest rank and number of sites, from the tensors' shapes.
template <class Tensors>
std::pair<int64_t, int64_t> rank_and_sites(const Tensors& tensors) {
  int64_t rank = 0, sites = 0;
  for (const auto& tensor : tensors)
    if (tensor.name.ends_with(rank_suffix) && !tensor.shape.empty()) {
      rank = std::max(rank, tensor.shape[0]);
      ++sites;
    }
  return {rank, sites};
}

void check_gates(const std::vector<NamedTensor>& gates) {
  for (const NamedTensor& gate : gates)
    GAGGLE_CHECK(gate.name.ends_with(gate_suffix) && gate.shape.size() == 1 && gate.dtype == DType::f32,
                 "gate {} is no \"<module path>.gate\" [d_in] in fp32", gate.name);
}

// Digests of a version's files, without its sidecar.
std::map<std::string, std::string> files_in(const fs::path& version_folder, Kind kind) {
  auto files = read_sums(version_folder);
  files.erase(words_of(kind).sidecar);
  return files;
}

std::map<std::string, std::string> tensor_files_in(const fs::path& version_folder) {
  auto files = read_sums(version_folder);
  std::erase_if(files, [](const auto& file) { return !file.first.ends_with(".safetensors"); });
  return files;
}

// The routing rows' meaning, which stands in the sidecar alone; experts have none.
nlohmann::json tasks_in(const fs::path& version_folder, Kind kind) {
  return read_sidecar(version_folder, kind).value("tasks", nlohmann::json());
}

}  // namespace

std::string file_bytes(const std::vector<NamedTensor>& tensors) {
  std::vector<TensorView> views;
  for (const NamedTensor& tensor : tensors) views.push_back(tensor.view());
  std::sort(views.begin(), views.end(),
            [](const auto& left, const auto& right) { return left.name < right.name; });
  return safetensors_bytes(views);
}

std::vector<NamedTensor> tensors_of(const fs::path& file) {
  const SafetensorsFile tensors(file);
  std::vector<NamedTensor> all;
  for (const TensorView& view : tensors.tensors())
    all.push_back({view.name, view.dtype, view.shape, {view.bytes.begin(), view.bytes.end()}});
  return all;
}

std::string commit_stage(Stage& stage, const fs::path& registry, Kind kind, const std::string& name,
                         const std::string& key) {
  stage.write_sums();
  const fs::path ours = stage.folder();
  return stage.commit(registry / words_of(kind).folder / name, [&](const fs::path& theirs) {
    if (key.empty())
      return files_in(ours, kind) == files_in(theirs, kind) && tasks_in(ours, kind) == tasks_in(theirs, kind);
    if (key_of(theirs, kind) != key) return false;
    if (tensor_files_in(ours) != tensor_files_in(theirs))
      log::warning(
          "{}: {} carries the same key ({}) but other bits; the committed one stays (equal bits need "
          "the same build, processor, dtype and threads)",
          name, theirs.filename().string(), key.substr(0, 12));
    return true;
  });
}

std::string Registry::commit(const NewExpert& expert) {
  check_name(expert.name, "expert");
  check_gates(expert.gates);
  const auto [rank, sites] = rank_and_sites(expert.lora);
  without_links(folder_, folder_ / "experts" / expert.name);
  Stage stage(folder_);
  stage.write(lora_config_file, expert.adapter_config);
  stage.write(lora_file, file_bytes(expert.lora));
  if (!expert.gates.empty()) stage.write(gate_file, file_bytes(expert.gates));
  stage.write(words_of(Kind::expert).sidecar, complete_sidecar(expert.name, expert.key, expert.expert_json,
                                                               {{"lora", {{"rank", rank}, {"sites", sites}}},
                                                                {"gated", !expert.gates.empty()}}));
  return commit_stage(stage, folder_, Kind::expert, expert.name, expert.key);
}

std::string Registry::commit_gates(const std::string& name, const std::vector<NamedTensor>& gates,
                                   const std::string& expert_json, const std::string& key) {
  check_gates(gates);
  GAGGLE_CHECK(!gates.empty());
  const fs::path parent = folder_of(name);
  const auto [rank, sites] = rank_and_sites(SafetensorsFile(parent / lora_file).tensors());
  const std::string plain = parse_pin(name, "expert").name;
  Stage stage(folder_);
  stage.link(parent / lora_config_file);
  stage.link(parent / lora_file);
  stage.write(gate_file, file_bytes(gates));
  stage.write(words_of(Kind::expert).sidecar,
              complete_sidecar(plain, key, expert_json,
                               {{"lora", {{"rank", rank}, {"sites", sites}}}, {"gated", true}}));
  return commit_stage(stage, folder_, Kind::expert, plain, key);
}

void Registry::make_current(const std::string& name, const std::string& version, Kind kind) {
  const fs::path folder = folder_of(name, version, kind);
  set_current(folder.parent_path(), folder.filename());
}

}  // namespace gaggle
