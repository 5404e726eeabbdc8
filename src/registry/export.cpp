#include "registry/export.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/long_phase.h"
#include "base/names.h"
#include "base/sha256.h"
#include "registry/outside.h"
#include "registry/stage.h"
#include "registry/sums.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

void write_folder(const ExportTarget& to, std::map<std::string, std::string> files) {
  double bytes_in_all = 0;
  for (const auto& [name, bytes] : files) bytes_in_all += static_cast<double>(bytes.size());
  LongPhase phase("writing " + to.folder.string(), 2 * bytes_in_all);  // looked through, and written
  require_finite(files, "it is not finite and is not exported");
  phase.add(bytes_in_all);
  files = files_to_export(std::move(files), to.base_path);
  make_new_folder(to.folder, "--to", [&](const fs::path& beside) {
    for (const auto& [name, bytes] : files) {
      fs::create_directories((beside / name).parent_path());
      write_file_durable(beside / name, bytes);
      phase.add(static_cast<double>(bytes.size()));
    }
  });
}

// What was made from a version, as a PEFT folder. Its modules are as the version names them: which endings are enough
// depends on a base that is not at hand.
void write_adapter(const PeftAdapter& adapter, const Version& from, const ExportTarget& target) {
  auto config = parse_json<nlohmann::ordered_json>(peft_config_json(adapter, {}));
  const auto given = parse_json<nlohmann::ordered_json>(read_file(from.folder / adapter_config_file));
  for (const char* key :
       {"target_modules", "feedforward_modules", "exclude_modules", "layers_to_transform", "layers_pattern"})
    if (given.contains(key) && !given[key].is_null()) config[key] = given[key];
  write_folder(target, {{adapter_config_file, config.dump(2) + "\n"},
                        {adapter_file, tensor_file_bytes(peft_tensors(adapter, DType::f32))}});
}

// The routing values that a site is mixed by: of the router whose path the site's begins with.
std::vector<float> logits_at(const Version& row, const std::vector<NamedTensor>& routers, const std::string& site,
                             size_t size) {
  constexpr std::string_view ending = "poly_router.module_logits";
  for (const NamedTensor& router : routers) {
    if (!router.name.ends_with(ending)) continue;
    const std::string group = router.name.substr(0, router.name.size() - ending.size());
    std::vector<float> values(size);
    if (!(site + ".").starts_with(group) || router.bytes.size() != size * sizeof(float)) continue;
    to_float(router.view(), values);
    return values;
  }
  user_error("{}: it has no routing values for site {}", row.folder.string(), site);
}

}  // namespace

void export_lora(const PeftAdapter& lora, const std::string& sidecar, const ExportTarget& to) {
  auto config = parse_json<nlohmann::ordered_json>(peft_config_json(lora, {}));
  config["target_modules"] = nlohmann::ordered_json::array();
  for (const PeftSite& site : lora.sites) config["target_modules"].push_back(site.site);
  write_folder(to, {{adapter_config_file, config.dump(2) + "\n"},
                    {adapter_file, tensor_file_bytes(peft_tensors(lora, DType::f32))},
                    {words_of(Kind::expert).sidecar, sidecar}});
}

void export_version(const Registry& registry, const std::string& name, const ExportTarget& to) {
  const Version from = registry.locate(name, {Kind::expert, Kind::inventory});
  // What was committed, and nothing that was put beside it since.
  std::map<std::string, std::string> files = {{sums_file, read_file(file_of(from, sums_file))}};
  for (const auto& [file, digest] : read_sums(from.folder)) {
    std::string& bytes = files[file] = read_file(file_of(from, file.c_str()));
    if (sha256_hex(bytes) != digest)
      user_error(
          "{}: its bytes are not those that were committed (SHA256SUMS); gaggle registry verify lists such files",
          (from.folder / file).string());
  }
  write_folder(to, files);
}

void export_scale_in_b(const Registry& registry, const std::string& name, const ExportTarget& to) {
  const Version from = registry.locate(name, {Kind::expert});
  write_adapter(with_scale_in_b(read_adapter(from)), from, to);
}

void export_mean(const Registry& registry, const std::string& name, const ExportTarget& to) {
  const Version from = registry.locate(name, {Kind::inventory});
  const PeftAdapter skills = read_adapter(from);
  if (skills.tasks == 1 && skills.skills > 1)
    log::info("{}: this is the average of its skills, which was not scored; --task {} writes the mixture that was",
              from.pin(), tasks_of(from)[0]);
  write_adapter(mean_of_skills(skills), from, to);
}

void export_mixture(const Registry& registry, const std::string& name, const std::string& task,
                    const ExportTarget& to) {
  const Version from = registry.locate(name, {Kind::inventory, Kind::routing_row});
  const bool is_row = from.kind == Kind::routing_row;
  const Version inventory = is_row ? parent_of(registry, from) : from;
  const PeftAdapter skills = read_adapter(inventory);
  if (skills.tasks == 0) user_error("{}: one adapter for all tasks; export it without --task", from.pin());
  const auto tasks = is_row ? std::vector<std::string>{text_at(read_sidecar(from), "task")} : tasks_of(from);
  const auto found = task.empty() && tasks.size() == 1 ? tasks.begin() : std::ranges::find(tasks, task);
  if (found == tasks.end())
    user_error("--task {}: {} has no routing row for it; it has {}", task, from.pin(), join(tasks, ", "));
  const std::vector<NamedTensor> rows = is_row ? read_routing_row(from) : std::vector<NamedTensor>();
  const auto per_task = static_cast<size_t>(skills.heads * skills.skills);
  const auto row = static_cast<size_t>(found - tasks.begin());
  const auto logits_of = [&](const PeftSite& site) {
    if (is_row) return logits_at(from, rows, site.site, per_task);
    const float* table = site.tensors.back().values.data() + row * per_task;
    return std::vector<float>(table, table + per_task);
  };
  write_adapter(mixture_of_skills(skills, logits_of), inventory, to);
}

}  // namespace gaggle
