// An expert's tensors from its folder.
#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "formats/peft.h"
#include "formats/safetensors.h"
#include "registry/layout.h"
#include "registry/registry.h"
#include "registry/sidecar.h"

namespace gaggle {
namespace {

void add_gates(const fs::path& file, std::vector<SiteLora>& sites) {
  const SafetensorsFile gates(file);
  size_t used = 0;
  for (SiteLora& site : sites) {
    const TensorView* gate = gates.find(site.site + ".gate");
    if (!gate) continue;
    ++used;
    if (gate->shape != std::vector<int64_t>{site.shape_a[1]})
      user_error("{}: gate of {} has another width than the site ({})", file.string(), site.site,
                 site.shape_a[1]);
    site.gate.resize(static_cast<size_t>(site.shape_a[1]));
    to_float(*gate, site.gate);
  }
  if (used == gates.tensors().size()) return;
  for (const TensorView& gate : gates.tensors())
    if (std::none_of(sites.begin(), sites.end(),
                     [&](const auto& site) { return site.site + ".gate" == gate.name; }))
      user_error("{}: gate {} belongs to no site of this expert", file.string(), gate.name);
}

}  // namespace

bool Expert::gated() const {
  return !sites.empty() &&
         std::all_of(sites.begin(), sites.end(), [](const auto& site) { return !site.gate.empty(); });
}

Expert Registry::load(const std::string& name, const std::string& version) const {
  Expert expert;
  expert.folder = folder_of(name, version);
  expert.name = parse_pin(name, "expert").name;
  expert.version = expert.folder.filename();
  expert.key = key_of(expert.folder, Kind::expert);
  for (const char* file : {lora_config_file, lora_file, gate_file})
    without_links(folder_, expert.folder / file);
  PeftLora lora = read_peft_lora(expert.folder);
  for (PeftLoraSite& site : lora.sites)
    expert.sites.push_back({std::move(site.site),
                            site.rank,
                            site.scale,
                            {site.rank, site.d_in},
                            {site.d_out, site.rank},
                            std::move(site.a),
                            std::move(site.b),
                            {}});
  if (fs::exists(expert.folder / gate_file)) add_gates(expert.folder / gate_file, expert.sites);
  return expert;
}

}  // namespace gaggle
