#include "job/plan.h"

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "base/screen.h"
#include "base/table.h"
#include "base/terminal.h"
#include "cluster/cores.h"
#include "comm/mpi_job.h"
#include "job/speeds.h"
#include "model/hardware.h"
#include "train/batch.h"

namespace gaggle {
namespace {

std::string machine_text(const JobContext& context) {
  const int ranks = context.session.world->size();
  return fmt::format("{} · {} of {} · {}, measured {}FLOP/s{}", program_text(), plural(ranks, "rank"),
                     plural(context.session.threads, "thread"),
                     hardware_text(context.base.device(), context.base.dtype()), count_text(context.gemm_flops),
                     ranks > 1 ? " a rank" : "");
}

std::string disk_text(const DiskNeed& disk) {
  fs::path place = fs::absolute(disk.place);
  while (!fs::exists(place) && place.has_relative_path()) place = place.parent_path();
  return fmt::format("{} in {} to write, {} free", bytes_text(disk.bytes), plural(disk.files, "file"),
                     bytes_text(fs::space(place).available));
}

// Expected seconds until the last worker is through these items: WorkItem::cost, spread over `workers`.
double job_seconds(const std::vector<WorkItem>& items, int workers) {
  double all = 0, longest = 0;
  for (const WorkItem& item : items) all += item.cost, longest = std::max(longest, item.cost);
  return std::max(longest, all / workers);
}

// Time that is measured while others compute is theirs too.
std::string busy_text(const HostLoad& load, double seconds, const ExpectedCosts& expected) {
  const double share = expected.share_of_processor;
  return fmt::format("the machine is busy ({}): {}", load.text(),
                     share < 0.8 ? fmt::format("if it were idle, about {}", time_text(seconds * std::max(0.05, share)))
                                 : std::string("others take time from this"));
}

std::vector<PlanLine> plan_lines(const JobContext& context, const Job& job, const JobPlan& plan,
                                 const JobMemory& memory, const ExpectedCosts& expected) {
  const std::vector<WorkItem>& open = expected.open;
  std::vector<PlanLine> lines = plan.lines;
  lines.push_back(
      {plan.label, fmt::format("{}   {} of {} there already, {} to {}", plan.place, job.items.size() - open.size(),
                               plural(static_cast<int64_t>(job.items.size()), job.thing), open.size(), plan.verb)});
  lines.insert(lines.end(), plan.notes.begin(), plan.notes.end());
  if (open.empty()) return lines;
  lines.push_back({"memory", fmt::format("about {} a rank: {}", bytes_text(memory.all()), need_text(memory))});
  lines.push_back({"disk", disk_text(plan.disk)});
  const double seconds = job_seconds(open, worker_count(job, context.session));
  lines.push_back({"time", fmt::format("about {} ({})", time_text(seconds), expected.source)});
  if (const double start = seconds_since_start(); start >= std::max(1.0, 0.1 * seconds))
    lines.push_back({"", fmt::format("the start has taken {} already", time_text(start))});
  if (const HostLoad load = host_load(); load.busy()) lines.push_back({"", busy_text(load, seconds, expected)});
  return lines;
}

}  // namespace

Exit plan_and_run(const JobContext& context, Job job, const JobPlan& plan) {
  if (context.base.shards()) {
    job.outlives_ranks = false;  // nobody else has what a lost rank held
    job.try_out = {};            // ranks measure for themselves
  }
  const JobMemory memory = with_recompute(plan.memory, context.config.train.recompute, context.session.free_memory);
  context.base.recompute_layers(memory.again);
  const ExpectedCosts expected = expect_costs(context, job);
  if (context.session.world->rank() == 0) {
    const std::vector<PlanLine> lines = plan_lines(context, job, plan, memory, expected);
    print_words(plan_block(machine_text(context), context.base, lines));
    if (context.options.dry_run)
      ((plan.dry_run_page ? plan.dry_run_page(job.items) : Page()) + "nothing was started; next: the same without --dry-run\n").print();
  }
  const Exit code = context.options.dry_run ? Exit::done : run_job(context, job);
  end_session(context.session);
  return code;
}

std::string plan_block(const std::string& machine, const BaseModel& base, const std::vector<PlanLine>& lines) {
  std::string text = machine + "\n";
  constexpr size_t indent = 10;
  const size_t columns = output_columns().value_or(std::string::npos);
  const auto add = [&](const PlanLine& line) {
    text += wrapped(fmt::format("{:<9} {}", line.label, line.words), columns, indent) + "\n";
  };
  add({"model",
       fmt::format("{}   {}, {} parameters frozen, {}{}", base.spec().name, base.spec().model_type,
                   with_commas(base.parameters()), plural(base.sites().size(), "site"),
                   base.ranks() > 1 ? fmt::format(" · {} ranks hold it together (model.shard)", base.ranks()) : "")});
  std::ranges::for_each(lines, add);
  return text;
}

std::string program_text() {
  return fmt::format("gaggle {} · LibTorch {} · {}", GAGGLE_VERSION, GAGGLE_TORCH_VERSION, mpi_library_version());
}

std::string lr_text(const Schedule& schedule) {
  const auto warmup = static_cast<int64_t>(std::ceil(schedule.warmup * static_cast<double>(schedule.steps)));
  return fmt::format("lr {:g}{}{}", schedule.lr,
                     warmup > 0 ? fmt::format(", from 0 over {} of warm-up", plural(warmup, "step")) : "",
                     schedule.linear ? ", falling to 0" : "");
}

std::string dropout_text(const StepSettings& step) {
  return step.dropout.p > 0 ? fmt::format(", dropout {:g} in the base", step.dropout.p) : "";
}

std::string data_text(const std::vector<const TokenTask*>& tasks) {
  int64_t examples = 0, cut = 0, shortest = INT64_MAX, longest = 0;
  std::vector<std::string> unvalidated;
  for (const TokenTask* task : tasks) {
    if (task->examples(Split::validation).empty()) unvalidated.push_back(task->name);
    cut += task->examples_cut;
    examples += static_cast<int64_t>(task->examples(Split::train).size());
    for (const TokenExample& example : task->examples(Split::train)) {
      shortest = std::min(shortest, fed_tokens(example));
      longest = std::max(longest, fed_tokens(example));
    }
  }
  return fmt::format("{}, {} of {} to {} tokens, {} cut{}",
                     plural(static_cast<int64_t>(tasks.size()), "task"), plural(examples, "training example"), shortest, longest,
                     with_commas(cut),
                     unvalidated.empty() ? "" : "; no validation examples, so no loss to judge by: " + join(unvalidated, ", "));
}

std::string need_text(const JobMemory& need) {
  const std::string program = (need.program > 0 ? ", program " + bytes_text(need.program) : "") +
                              (need.loading > need.all() ? "; while the base was read " + bytes_text(need.loading) : "");
  return fmt::format("base {}, {} {}, activations {} (train.tokens_per_microbatch{}){}", bytes_text(need.base),
                     need.adapter_text, bytes_text(need.adapter), bytes_text(need.activations),
                     need.again ? "; train.recompute: layers are computed again" : "", program);
}

}  // namespace gaggle
