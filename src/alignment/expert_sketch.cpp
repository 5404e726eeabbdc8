#include "alignment/expert_sketch.h"

#include "alignment/record.h"
#include "alignment/sketch.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/table.h"
#include "formats/safetensors.h"
#include "train/expert.h"

namespace gaggle {
namespace {

constexpr int64_t default_dims = 4096;  // a cosine's standard error is at most √(2/dims) = 0.02
constexpr int64_t shown_pairs = 3;

// Sketches compare only where all of this is equal.
std::string settings_of(const StartSketches& sketches, const Recipe& recipe) {
  return fmt::format("rows {} dims {} seed {} sites {} base {} {}", sketches.examples, sketches.dims, sketches.seed,
                     sites_digest(recipe.sites), sketches.base.content_digest(), dtype_text(sketches.base.dtype()));
}

std::optional<at::Tensor> read_sketch(const fs::path& path, const std::string& settings) {
  if (!fs::exists(path)) return std::nullopt;
  try {
    const SafetensorsFile file(path);
    if (file.metadata().at("settings") != settings || file.tensors().size() != 1) return std::nullopt;
    return float_tensor(file.tensors()[0]);
  } catch (const std::exception& damaged) {
    log::warning("{}: {} · this sketch is left out", path.string(), error_text(damaged));
    return std::nullopt;
  }
}

fs::path file_of(const StartSketches& sketches, const Recipe& recipe) {
  return sketches.folder / (recipe.key + ".safetensors");
}

// d loss / dB of every site at the start, one after the other: [1, values].
at::Tensor start_gradient(const StartSketches& sketches, const TokenTask& task, const Recipe& recipe) {
  BaseModel& base = sketches.base;
  LoraAdapter adapter(recipe.sites, {start_of(recipe)}, base.dtype(), base.device());
  const at::Tensor gradient = at::zeros_like(adapter.values());
  adapter.set_gradients(gradient);
  const auto all = static_cast<int64_t>(task.examples(Split::train).size());
  TaskMix order(recipe.seed, {task.name}, {all}, {});
  const std::vector<Sample> batch = mixed_batch(order, {&task}, 0, std::min(sketches.examples, all));
  const std::vector<float> weights = loss_weights(batch, LossAverage::token);
  for (const Microbatch& part : lane_microbatches(batch, weights, 0, 1, recipe.lora.step.tokens_per_microbatch))
    base.forward_backward(part, adapter);
  std::vector<at::Tensor> parts;
  for (const LoraSite& s : recipe.sites)
    parts.push_back(adapter.layout().view(gradient, s.site.name + ".lora_B").flatten());
  return at::cat(parts).unsqueeze(0);
}

SketchPlan plan_of(const StartSketches& sketches, const Recipe& recipe) {
  std::vector<AlignedSite> sites;
  int64_t offset = 0;
  for (const LoraSite& s : recipe.sites) {
    sites.push_back({s.site.name, s.site.kind, s.site.layer, 1, 1, 0, s.site.d_out * s.rank, offset});
    offset += sites.back().size();
  }
  return plan_sketch(std::move(sites), Slots::one, sketches.dims, false, sketches.seed, sketches.base.device());
}

}  // namespace

StartSketches start_sketches(BaseModel& base, const fs::path& registry, const AlignmentConfig& alignment,
                             uint64_t seed) {
  return {base, registry / "work" / "reports", alignment.examples,
          alignment.sketch > 0 ? alignment.sketch : default_dims, seed};
}

void leave_sketch(const StartSketches& sketches, const TokenTask& task, const Recipe& recipe) {
  const fs::path path = file_of(sketches, recipe);
  const std::string settings = settings_of(sketches, recipe);
  if (sketches.examples == 0 || !recipe.train_lora || read_sketch(path, settings)) return;
  const at::Tensor gradient = start_gradient(sketches, task, recipe);
  const at::Tensor sketch = sketch_of(plan_of(sketches, recipe), gradient, {}).cpu().contiguous();
  fs::create_directories(sketches.folder);
  write_file_atomic(path, safetensors_bytes({tensor_view("sketch", sketch)},
                                            {{"format", "pt"}, {"task", task.name}, {"settings", settings}}));
}

Page compare_sketches(const StartSketches& sketches, const std::vector<SketchedTask>& tasks, const fs::path& result) {
  std::vector<std::string> names;
  std::vector<at::Tensor> rows;
  for (const SketchedTask& task : tasks) {
    const std::string settings = settings_of(sketches, tasks[0].recipe);
    const auto sketch = read_sketch(file_of(sketches, task.recipe), settings);
    if (!sketch) continue;
    names.push_back(task.name);
    rows.push_back(sketch->flatten());
  }
  if (names.size() < 2) return {};
  const TaskSimilarity similarity = task_similarity(names, at::stack(rows));
  const at::Tensor cosine = similarity.cosine.contiguous(), error = similarity.error.contiguous();
  fs::create_directories(result.parent_path());
  write_file_atomic(result, safetensors_bytes({tensor_view("cosine", cosine), tensor_view("error", error)},
                                              {{"format", "pt"}, {"tasks", nlohmann::json(names).dump()}}));
  return Page(fmt::format("\ngradients of {} at the common start, {} each ({})\n",
                          plural(static_cast<int64_t>(names.size()), "task"), plural(sketches.examples, "example"),
                          result.lexically_normal().string())) +
         similarity_page(similarity, shown_pairs);
}

TaskSimilarity read_similarity(const fs::path& result) {
  const SafetensorsFile file(result);
  const auto found = file.metadata().find("tasks");
  if (found == file.metadata().end())
    user_error("{}: no similarity of tasks, as gaggle experts leaves it", file.name());
  try {
    TaskSimilarity similarity{parse_json(found->second), matrix_of(file, "cosine"), matrix_of(file, "error"), 0};
    const auto tasks = static_cast<int64_t>(similarity.tasks.size());
    for (const at::Tensor& matrix : {similarity.cosine, similarity.error})
      if (matrix.sizes() != at::IntArrayRef{tasks, tasks})
        user_error("{}: {} tasks, but a matrix of {} × {}", file.name(), tasks, matrix.size(0), matrix.size(-1));
    return similarity;
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: no similarity of tasks ({})", file.name(), error.what());
  }
}

}  // namespace gaggle
