#include "library/lora.h"

#include <algorithm>

#include "adapter/gate.h"
#include "base/error.h"
#include "library/peft_values.h"
#include "registry/pins.h"
#include "registry/sums.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

std::string parameter_of(const Site& site, size_t i) { return site.name + (i == 0 ? ".lora_A" : ".lora_B"); }

std::string store(Registry& registry, NewVersion version, const PeftAdapter& peft, double gate_bias) {
  const std::vector<NamedTensor> gates = gate_tensors(peft);
  if (!gates.empty()) version.files[gate_file] = tensor_file_bytes(gates);
  version.sidecar["gated"] = !gates.empty();
  if (gate_bias != 0) version.sidecar[gate_bias_key] = gate_bias;
  return registry.commit(version);
}

Lora lora_of(const Version& version, const PeftAdapter& peft, const std::vector<Site>& sites) {
  Lora lora = lora_from_peft(peft, sites, version.folder.string());
  lora.name = version.name;
  lora.version = version.version;
  lora.digest = digest_of(version);
  lora.not_finite = peft.not_finite;
  const auto sidecar = file_of(version, words_of(Kind::expert).sidecar);
  lora.category = category_in(sidecar);
  if (!lora.gates.empty()) lora.gate_bias = gate_bias_in(sidecar);
  return lora;
}

}  // namespace

Lora lora_from_peft(const PeftAdapter& peft, const std::vector<Site>& sites, const std::string& where) {
  Lora lora;
  lora.sites = sites_of(peft, sites, where);
  lora.values = values_from_peft(peft, lora.sites, lora_layout(lora.sites), parameter_of, where);
  if (std::ranges::all_of(peft.sites, [](const PeftSite& s) { return s.gate.empty(); })) return lora;
  for (const PeftSite* s : in_order_of(lora.sites, peft, where))
    lora.gates.push_back(s->gate.empty() ? at::Tensor() : at::tensor(s->gate, at::kFloat));
  return lora;
}

PeftAdapter lora_to_peft(const Lora& lora, const PeftBase& base) {
  const ParameterLayout layout = lora_layout(lora.sites);
  PeftAdapter peft;
  peft.base = base;
  for (size_t i = 0; i < lora.sites.size(); ++i) {
    const LoraSite& s = lora.sites[i];
    PeftSite& site = peft.sites.emplace_back();
    site.site = s.site.name;
    site.rank = s.rank;
    site.scale = s.scale;
    for (const size_t part : {0, 1})
      site.tensors.push_back(peft_tensor(layout.view(lora.values, parameter_of(s.site, part))));
    if (!lora.gates.empty() && lora.gates[i].defined()) site.gate = floats_of(lora.gates[i]);
  }
  std::ranges::sort(peft.sites, {}, &PeftSite::site);
  return peft;
}

Lora read_lora(const std::filesystem::path& folder, const std::vector<Site>& sites) {
  const PeftAdapter peft = read_peft(folder, {PeftKind::lora});
  require_finite(peft);
  return lora_from_peft(peft, sites, folder.string());
}

Lora load_lora(const Registry& registry, const std::string& name, const std::vector<Site>& sites) {
  const Version version = registry.load(Kind::expert, name);
  const PeftAdapter peft = read_adapter(version);
  require_finite(peft);
  return lora_of(version, peft, sites);
}

std::vector<Lora> load_collection(const Registry& registry, const std::string& name, const std::vector<Site>& sites) {
  const ExpertSet members = members_of(registry, name);
  std::vector<Lora> experts;
  for (const Version& expert : members.experts) experts.push_back(read_pinned(members.name, expert, sites));
  return experts;
}

// All of its bytes are read in any case, so that they are held against what was committed.
PeftAdapter read_pinned(const std::string& collection, const Version& expert) {
  if (const auto wrong = check_listed(expert.folder); !wrong.empty())
    user_error("collection {}: {}", collection, wrong[0]);
  return read_adapter(expert);
}

Lora read_pinned(const std::string& collection, const Version& expert, const std::vector<Site>& sites) {
  return lora_of(expert, read_pinned(collection, expert), sites);
}

std::vector<at::Tensor> gates_by_site(std::span<const LoraSite> sites, const at::Tensor& gates) {
  const ParameterLayout layout = gate_layout(sites);
  std::vector<at::Tensor> by_site;
  for (const LoraSite& s : sites) by_site.push_back(layout.view(gates, s.site.name + ".gate"));
  return by_site;
}

std::string store_lora(Registry& registry, const Lora& lora, const Provenance& made) {
  const PeftAdapter peft = lora_to_peft(lora, peft_base(made.base.spec()));
  NewVersion version = new_version(Kind::expert, lora.name, made);
  add_adapter(version, peft, made);
  return store(registry, std::move(version), peft, lora.gate_bias);
}

std::string store_gates(Registry& registry, const std::string& parent, const Lora& lora, const Provenance& made) {
  GAGGLE_CHECK(!lora.gates.empty());
  const Version from = registry.load(Kind::expert, parent);
  const PeftAdapter peft = lora_to_peft(lora, peft_base(made.base.spec()));
  NewVersion version = new_version(Kind::expert, from.name, made);
  version.linked = {from.folder / adapter_config_file, from.folder / adapter_file};
  version.sidecar.update(sizes_json(peft));
  // Whose LoRA it is stays as it was: imported, or adapted.
  if (const std::string origin = text_at(read_sidecar(from), "origin"); !origin.empty())
    version.sidecar["origin"] = origin;
  return store(registry, std::move(version), peft, lora.gate_bias);
}

}  // namespace gaggle
