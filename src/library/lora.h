// An expert in memory: a LoRA and, where they are trained, its gates; from PEFT folders and a registry, and back.
#pragma once

#include "adapter/lora.h"
#include "formats/peft.h"
#include "library/provenance.h"
#include "registry/registry.h"

namespace gaggle {

struct Lora {
  std::vector<LoraSite> sites;    // in the base's order
  at::Tensor values;              // [lora_layout(sites).size()] fp32 on the CPU
  std::vector<at::Tensor> gates;  // by site [d_in] fp32 on the CPU, undefined where there is none; empty: none anywhere
  std::string name, version;      // "tomi", "v0001" of a registry, where it is of one
  std::string digest;             // of that version's SHA256SUMS
  std::string not_finite = {};    // as in PeftAdapter; "" but for experts of a collection
  std::string category = {};      // of the task it was trained on, where that said one
  double gate_bias = 0;           // b of σ(v·x + b) that the gates were trained with; routing knows v alone
  std::string pin() const { return name + "@" + version; }
};

// Throws UserError that begins with `where` for a site that the base does not have and for shapes that do not fit it.
Lora lora_from_peft(const PeftAdapter& peft, const std::vector<Site>& sites, const std::string& where);
PeftAdapter lora_to_peft(const Lora& lora, const PeftBase& base);

// Of a PEFT folder anywhere. Throws UserError, as read_peft and lora_from_peft do, and NotFinite.
Lora read_lora(const std::filesystem::path& folder, const std::vector<Site>& sites);
// The CURRENT version of `name`, or name@version. Throws NotFinite.
Lora load_lora(const Registry& registry, const std::string& name, const std::vector<Site>& sites);
// The experts of a collection, in the pinned order (registry/pins.h: members_of). Throws UserError where one is gone, or
// is not the one that was pinned: by the digests in the collection, and of every byte that is read. What is
// not finite is noted.
std::vector<Lora> load_collection(const Registry& registry, const std::string& name, const std::vector<Site>& sites);

// One of them, after every byte was held against what was committed. Throws UserError as load_collection does.
// `collection`: its name, for messages.
PeftAdapter read_pinned(const std::string& collection, const Version& expert);
Lora read_pinned(const std::string& collection, const Version& expert, const std::vector<Site>& sites);

// A gate for each of `sites` from one flat tensor in gate_layout's order.
std::vector<at::Tensor> gates_by_site(std::span<const LoraSite> sites, const at::Tensor& gates);

// Both return the version. A new version of lora.name:
std::string store_lora(Registry& registry, const Lora& lora, const Provenance& made);
// the same with lora.gates for the LoRA of `parent` ("tomi@v0001"), whose files get a second name in it.
std::string store_gates(Registry& registry, const std::string& parent, const Lora& lora, const Provenance& made);

}  // namespace gaggle
