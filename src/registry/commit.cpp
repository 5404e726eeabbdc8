// Committing experts: a LoRA with or without gates, gates for a LoRA that is there, and removal.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/names.h"
#include "formats/safetensors.h"
#include "registry/layout.h"
#include "registry/registry.h"
#include "registry/sidecar.h"
#include "registry/stage.h"
#include "registry/sums.h"

namespace gaggle {
namespace {

constexpr std::string_view rank_suffix = ".lora_A.weight";
constexpr std::string_view gate_suffix = ".gate";

std::string file_bytes(const std::vector<NamedTensor>& tensors) {
  std::vector<TensorView> views;
  for (const NamedTensor& tensor : tensors) views.push_back(tensor.view());
  std::sort(views.begin(), views.end(),
            [](const auto& left, const auto& right) { return left.name < right.name; });
  return safetensors_bytes(views);
}

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

// The file's digest in a version's sums; "" where it has no such file.
std::string digest_in(const fs::path& version_folder, const char* file) {
  const auto sums = read_sums(version_folder);
  const auto found = sums.find(file);
  return found == sums.end() ? "" : found->second;
}

bool same_tensors(const fs::path& left, const fs::path& right) {
  return digest_in(left, lora_file) == digest_in(right, lora_file) &&
         digest_in(left, gate_file) == digest_in(right, gate_file);
}

std::string commit_stage(Stage& stage, const fs::path& registry, const std::string& name,
                         const std::string& key) {
  stage.write_sums();
  const fs::path ours = stage.folder();
  return stage.commit(registry / "experts" / name, [&](const fs::path& theirs) {
    if (key.empty())
      return same_tensors(ours, theirs) &&
             digest_in(ours, lora_config_file) == digest_in(theirs, lora_config_file);
    if (key_of(theirs) != key) return false;
    if (!same_tensors(ours, theirs))
      log::warning(
          "{}: {} carries the same key ({}) but other bits; the committed one stays (equal bits need "
          "the same build, processor, dtype and threads)",
          name, theirs.filename().string(), key.substr(0, 12));
    return true;
  });
}

}  // namespace

std::string Registry::commit(const NewExpert& expert) {
  check_name(expert.name, "expert");
  check_gates(expert.gates);
  const auto [rank, sites] = rank_and_sites(expert.lora);
  without_links(folder_, folder_ / "experts" / expert.name);
  Stage stage(folder_);
  stage.write(lora_config_file, expert.adapter_config);
  stage.write(lora_file, file_bytes(expert.lora));
  if (!expert.gates.empty()) stage.write(gate_file, file_bytes(expert.gates));
  stage.write(sidecar_file, complete_sidecar(expert, rank, sites, !expert.gates.empty()));
  return commit_stage(stage, folder_, expert.name, expert.key);
}

std::string Registry::commit_gates(const std::string& name, const std::vector<NamedTensor>& gates,
                                   const std::string& expert_json, const std::string& key) {
  check_gates(gates);
  GAGGLE_CHECK(!gates.empty());
  const fs::path parent = folder_of(name);
  const auto [rank, sites] = rank_and_sites(SafetensorsFile(parent / lora_file).tensors());
  NewExpert expert;
  expert.name = parse_pin(name, "expert").name;
  expert.key = key;
  expert.expert_json = expert_json;
  Stage stage(folder_);
  stage.link(parent / lora_config_file);
  stage.link(parent / lora_file);
  stage.write(gate_file, file_bytes(gates));
  stage.write(sidecar_file, complete_sidecar(expert, rank, sites, true));
  return commit_stage(stage, folder_, expert.name, key);
}

void Registry::make_current(const std::string& name, const std::string& version) {
  const fs::path folder = folder_of(name, version);
  set_current(folder.parent_path(), folder.filename());
}

}  // namespace gaggle
