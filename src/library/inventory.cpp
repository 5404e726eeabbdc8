#include "library/inventory.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/table.h"
#include "library/peft_values.h"
#include "registry/sums.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

constexpr double certain = 40;  // σ(-40) = 4e-18

// One skill for all tasks: (IA)³ as PEFT has it, without a routing table.
bool one_for_all(const PolySpec& spec) { return spec.skills == 1 && spec.routing == Routing::uniform; }

PeftKind kind_of(const PolySpec& spec) {
  if (spec.skill == SkillKind::low_rank) return PeftKind::poly;
  return one_for_all(spec) ? PeftKind::ia3 : PeftKind::poly_ia3;
}

std::string sizes_text(PeftKind kind, int64_t tasks, int64_t skills, int64_t heads) {
  if (kind == PeftKind::ia3) return "one vector a site for all tasks";
  return fmt::format("{}, {} and {}", plural(skills, "skill"), plural(heads, "head"), plural(tasks, "task"));
}

at::Tensor logits_of(const PolySpec& spec, const ParameterLayout& layout, const at::Tensor& values, const Site& site) {
  if (spec.routing == Routing::learned) return layout.view(values, spec.router_name(site));
  at::Tensor z = at::zeros({spec.tasks, spec.heads, spec.skills});
  if (spec.routing == Routing::one_hot) z.fill_(-certain).diagonal(0, 0, 2).fill_(certain);
  return z.view({spec.tasks, spec.heads * spec.skills});
}

PeftSite site_to_peft(const PolySpec& spec, PeftKind kind, const LoraSite& s, const ParameterLayout& layout,
                      const at::Tensor& values) {
  PeftSite site;
  site.site = s.site.name;
  if (kind == PeftKind::poly) site.rank = s.rank;
  site.feedforward = kind != PeftKind::poly && s.site.reads_activation;
  for (const std::string& name : skill_names(spec.skill))
    site.tensors.push_back(peft_tensor(layout.view(values, s.site.name + name)));
  if (kind == PeftKind::ia3) {
    const auto width = static_cast<int64_t>(site.tensors[0].values.size());
    site.tensors[0].shape = site.feedforward ? std::vector<int64_t>{1, width} : std::vector<int64_t>{width, 1};
  } else {
    site.tensors.push_back(peft_tensor(logits_of(spec, layout, values, s.site)));
  }
  return site;
}

void check_feedforward(const PeftAdapter& peft, const PolySpec& spec, const std::string& where) {
  const auto words = [](bool input) { return input ? "input" : "output"; };
  const std::vector<const PeftSite*> stored = in_order_of(spec.sites, peft, where);
  for (size_t i = 0; i < stored.size(); ++i)
    if (const bool input = spec.sites[i].site.reads_activation; stored[i]->feedforward != input)
      user_error("{}: it rescales the {} of {}, here that is its {}", where, words(stored[i]->feedforward),
                 stored[i]->site, words(input));
}

// What names an inventory's files in recipes of adaptations: SHA-256 of its SHA256SUMS, in which the sidecar is
// called as it was when such keys were first made. Under its present name all of them would change.
std::string recipe_digest(const Version& version) {
  std::string sums = read_file(file_of(version, sums_file));
  const std::string now = fmt::format("  {}\n", words_of(Kind::inventory).sidecar);
  if (const size_t at = sums.find(now); at != std::string::npos) sums.replace(at, now.size(), "  routed.json\n");
  return sha256_hex(sums);
}

}  // namespace

std::string Inventory::pin() const { return routing_row.empty() ? name + "@" + version : routing_row; }

std::string Inventory::description() const {
  if (!routing_row.empty())
    return fmt::format("{}   adapted to {}, mixes the {} of {}@{}", routing_row, tasks.front(),
                       plural(spec.skills, "skill"), name, version);
  return fmt::format("{}   {}, {}, {}, {}", pin(), method, plural(spec.tasks, "task"), plural(spec.skills, "skill"),
                     plural(spec.heads, "head"));
}

int Inventory::task_number(const std::string& task) const {
  const auto found = std::ranges::find(tasks, task);
  return found == tasks.end() ? -1 : static_cast<int>(found - tasks.begin());
}

PeftAdapter inventory_to_peft(const PolySpec& spec, const at::Tensor& values, const PeftBase& base) {
  const ParameterLayout layout = poly_layout(spec);
  PeftAdapter peft;
  peft.kind = kind_of(spec);
  peft.base = base;
  if (peft.kind != PeftKind::ia3) {
    peft.tasks = spec.tasks;
    peft.skills = spec.skills;
    peft.heads = spec.heads;
  }
  for (const LoraSite& s : spec.sites) peft.sites.push_back(site_to_peft(spec, peft.kind, s, layout, values));
  std::ranges::sort(peft.sites, {}, &PeftSite::site);
  return peft;
}

at::Tensor inventory_values(const PeftAdapter& peft, const PolySpec& spec, const std::string& where) {
  const std::string has = sizes_text(peft.kind, peft.tasks, peft.skills, peft.heads);
  const std::string wants = sizes_text(kind_of(spec), spec.tasks, spec.skills, spec.heads);
  if (has != wants) user_error("{}: it has {}, and the run {}", where, has, wants);
  if (spec.skill == SkillKind::rescaling) check_feedforward(peft, spec, where);
  const std::vector<std::string> skills = skill_names(spec.skill);
  const auto name_of = [&](const Site& site, size_t i) {
    return i < skills.size() ? site.name + skills[i] : spec.router_name(site);
  };
  return values_from_peft(peft, spec.sites, poly_layout(spec), name_of, where);
}

at::Tensor read_inventory_values(const std::filesystem::path& folder, const PolySpec& spec) {
  const std::vector<PeftKind> kinds =
      spec.skill == SkillKind::low_rank ? std::vector{PeftKind::poly} : std::vector{PeftKind::ia3, PeftKind::poly_ia3};
  const PeftAdapter peft = read_peft(folder, kinds);
  require_finite(peft);
  return inventory_values(peft, spec, folder.string());
}

Inventory load_inventory(const Registry& registry, const std::string& name, const std::vector<Site>& sites) {
  const Version version = registry.load(Kind::inventory, name);
  const PeftAdapter peft = read_adapter(version);
  const nlohmann::json about = read_sidecar(version);
  const std::string where = version.folder.string();
  Inventory inventory;
  inventory.name = version.name;
  inventory.version = version.version;
  inventory.digest = recipe_digest(version);
  inventory.not_finite = peft.not_finite;
  inventory.method = about.value("method", peft.heads > 1 ? "mhr" : "poly");
  inventory.tasks = inventory.pretrained_on = tasks_of(version);
  PolySpec& spec = inventory.spec;
  spec.skill = peft.kind == PeftKind::poly ? SkillKind::low_rank : SkillKind::rescaling;
  spec.sites = sites_of(peft, sites, where);
  spec.skills = peft.skills;
  spec.heads = peft.heads;
  spec.tasks = static_cast<int64_t>(inventory.tasks.size());
  spec.routing = routing_of_method(inventory.method);
  spec.granularity = granularity_named(about.value("router_granularity", "site"));
  inventory.values = inventory_values(peft, spec, where);
  return inventory;
}

std::string store_inventory(Registry& registry, const Inventory& inventory, Provenance made) {
  const PolySpec& spec = inventory.spec;
  GAGGLE_CHECK(static_cast<size_t>(spec.tasks) == inventory.tasks.size(), "{} names for {} tasks",
               inventory.tasks.size(), spec.tasks);
  made.about["method"] = inventory.method;
  made.about["tasks"] = inventory.tasks;
  made.about["router_granularity"] = name_of(spec.granularity);
  NewVersion version = new_version(Kind::inventory, inventory.name, made);
  add_adapter(version, inventory_to_peft(spec, inventory.values, peft_base(made.base.spec())), made);
  return registry.commit(version);
}

}  // namespace gaggle
