// gaggle gates: gates for experts that are in the registry already, imported ones included. Experts without data stay
// ungated and are named.
#include "app/command.h"
#include "base/log.h"
#include "base/names.h"
#include "base/terminal.h"
#include "registry/version_files.h"
#include "workflow/experts.h"

namespace gaggle {
namespace {

// Nothing to do is the user's mistake.
[[noreturn]] void refuse_without_tasks(const Config& config, const Registry& registry,
                                       const std::map<std::string, TokenTask>& tasks) {
  std::vector<std::string> experts, named;
  for (const Version& expert : registry.list(Kind::expert))
    if (expert.current) experts.push_back(expert.name);
  for (const auto& [name, task] : tasks) named.push_back(name);
  if (experts.empty())
    user_error(
        "{}: the registry has no experts to give gates to; gaggle registry import FOLDER… brings others' in, gaggle "
        "experts trains them with their gates",
        config.registry.path);
  user_error(
      "no task has the name of an expert, so there is nothing to train gates on (experts: {}; tasks: {}); name each "
      "expert's task in the config:\n[gate.tasks]\n{} = \"FILE.jsonl\"",
      shown(join(experts, ", ")), shown(join(named, ", ")), experts[0]);
}

Exit train_gates(const Config& config, const JobOptions& options) {
  Inputs inputs = load_inputs(config, config.data.tasks, config.data.limit_examples);
  const std::map<std::string, TokenTask> tasks = tasks_of_experts(config, inputs);
  StartedJob start = start_job(
      config, options, std::move(inputs), BaseUse::training,
      [&](const Session& session) { check_expert_job(config, session); }, config.cluster.ranks_per_expert);
  if (start.stopped) return *start.stopped;
  const BaseModel& base = *start.base;
  const Registry registry = Registry::open(config.registry.path, fingerprint_of(base), false, options.accept_base);
  for (const auto& [expert, path] : config.gate.tasks)
    if (!registry.find(Kind::expert, expert))
      user_error("gate.tasks.{}: the registry has no expert of that name", expert);

  const RecipeBase common{config.run.seed, base.sites(), base.content_digest(), base.dtype()};
  const ExpertSections sections{config.lora, config.train, config.gate, config.cluster.ranks_per_expert};
  const JobContext context{config, options, start.session, *start.base, start.gemm_flops};
  ExpertJob job{context, {}};
  bool matched = false;
  for (const Version& expert : registry.list(Kind::expert)) {
    if (!expert.current) continue;
    const auto task = tasks.find(expert.name);
    if (task == tasks.end()) {
      if (!is_gated(expert)) job.ungated.push_back(expert.name);
      continue;
    }
    matched = true;
    try {
      Lora lora = load_lora(registry, expert.name, base.sites());
      const std::string digest = values_digest(lora_layout(lora.sites), lora.values);
      job.items.push_back({expert.name, &task->second,
                           gates_recipe(common, sections, task->second, std::move(lora), digest), expert.pin()});
    } catch (const NotFinite& error) {
      log::warning("{} gets no gates: {}", expert.name, error.what());
    }
  }
  if (!matched) refuse_without_tasks(config, registry, tasks);
  return run_experts(std::move(job));
}

}  // namespace

Command gates_command() {
  return {"gates", "Train gates for experts that are in the registry", with_job_options(train_gates),
          "gaggle gates my.toml --gate.tasks.tomi=tasks/stories.jsonl"};
}

}  // namespace gaggle
