#include "app/expert_sketch.h"

#include <nlohmann/json.hpp>

#include "alignment/similarity.h"
#include "alignment/sketch.h"
#include "app/plan_lines.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "formats/safetensors.h"

namespace gaggle {
namespace {

constexpr int64_t default_dims = 4096;  // a cosine's standard error is at most √(2/dims) = 0.02
constexpr int64_t shown_pairs = 3;

int64_t dims_of(const ExpertJob& job) {
  return job.config.alignment.sketch > 0 ? job.config.alignment.sketch : default_dims;
}

// Sketches compare only where all of this is equal.
std::string settings_of(const ExpertJob& job, const ExpertItem& item) {
  return fmt::format("rows {} dims {} seed {} sites {} base {} {}", job.config.alignment.examples, dims_of(job),
                     job.config.run.seed, sites_digest(item.recipe.sites), job.base.content_digest(),
                     dtype_text(job.base.dtype()));
}

fs::path file_of(const fs::path& registry, const ExpertItem& item) {
  return registry / "work" / "reports" / (item.recipe.key + ".safetensors");
}

TensorView view_of(const std::string& name, const at::Tensor& x, DType dtype) {
  return {name, dtype, x.sizes().vec(), {static_cast<const std::byte*>(x.const_data_ptr()), x.nbytes()}};
}

std::optional<at::Tensor> read_sketch(const fs::path& path, const std::string& settings) {
  if (!fs::exists(path)) return std::nullopt;
  try {
    const SafetensorsFile file(path);
    if (file.metadata().at("settings") != settings || file.tensors().size() != 1) return std::nullopt;
    at::Tensor sketch = at::empty(file.tensors()[0].shape, at::kFloat);
    to_float(file.tensors()[0], {sketch.mutable_data_ptr<float>(), static_cast<size_t>(sketch.numel())});
    return sketch;
  } catch (const std::exception& damaged) {
    log::warning("{}: {} · this sketch is left out", path.string(), damaged.what());
    return std::nullopt;
  }
}

// d loss / dB of every site at the start, one after the other.
at::Tensor start_gradient(const ExpertJob& job, const ExpertItem& item) {
  const Recipe& recipe = item.recipe;
  LoraAdapter adapter(
      recipe.sites,
      {recipe.start.defined() ? recipe.start : initial_lora(recipe.sites, recipe.seed, recipe.init_std)},
      job.base.dtype(), job.base.device());
  const at::Tensor gradient = at::zeros_like(adapter.values());
  adapter.set_gradients(gradient);
  const auto& rows = item.task->rows(Split::train);
  RowSampler order(recipe.seed, item.task->name, static_cast<int64_t>(rows.size()));
  const auto count = std::min(job.config.alignment.examples, static_cast<int64_t>(rows.size()));
  const std::vector<Sample> batch = task_batch(order, rows, 0, count);
  const std::vector<float> weights = loss_weights(batch, "token");
  for (const Rows& part : lane_microbatches(batch, weights, 0, 1, recipe.lora.step.tokens_per_microbatch))
    job.base.forward_backward(part, adapter);
  std::vector<at::Tensor> parts;
  for (const LoraSite& s : recipe.sites)
    parts.push_back(adapter.layout().view(gradient, s.site.name + ".lora_B").flatten());
  return at::cat(parts).unsqueeze(0);
}

SketchPlan plan_of(const ExpertJob& job, const ExpertItem& item) {
  std::vector<AlignedSite> sites;
  int64_t offset = 0;
  for (const LoraSite& s : item.recipe.sites) {
    sites.push_back({s.site.name, s.site.kind, s.site.layer, 1, 1, 0, s.site.d_out * s.rank, offset});
    offset += sites.back().size();
  }
  return plan_sketch(std::move(sites), Slots::one, dims_of(job), false, job.config.run.seed, job.base.device());
}

}  // namespace

void leave_sketch(const ExpertJob& job, const ExpertItem& item, const fs::path& registry) {
  const fs::path path = file_of(registry, item);
  const std::string settings = settings_of(job, item);
  if (job.config.alignment.examples == 0 || !item.recipe.train_lora || read_sketch(path, settings)) return;
  const at::Tensor sketch = sketch_of(plan_of(job, item), start_gradient(job, item), {}).cpu().contiguous();
  fs::create_directories(path.parent_path());
  write_file_atomic(path, safetensors_bytes({view_of("sketch", sketch, DType::f32)},
                                            {{"format", "pt"}, {"task", item.name}, {"settings", settings}}));
}

std::string compare_sketches(const ExpertJob& job, const fs::path& registry) {
  std::vector<std::string> names;
  std::vector<at::Tensor> sketches;
  std::string settings;
  for (const ExpertItem& item : job.items) {
    if (settings.empty()) settings = settings_of(job, item);
    if (const auto sketch = read_sketch(file_of(registry, item), settings)) {
      names.push_back(item.name);
      sketches.push_back(sketch->flatten());
    }
  }
  if (names.size() < 2) return "";
  const TaskSimilarity similarity = task_similarity(names, at::stack(sketches));
  const fs::path path = job.session.run_dir / "alignment" / "experts.safetensors";
  fs::create_directories(path.parent_path());
  const at::Tensor cosine = similarity.cosine.contiguous(), error = similarity.error.contiguous();
  write_file_atomic(
      path, safetensors_bytes({view_of("cosine", cosine, DType::f64), view_of("error", error, DType::f64)},
                              {{"format", "pt"}, {"tasks", nlohmann::json(names).dump()}}));
  return fmt::format("\ngradients of {} at the common start, {} rows each ({})\n{}",
                     plural(names.size(), "task"), job.config.alignment.examples,
                     path.lexically_normal().string(), similarity_text(similarity, shown_pairs));
}

}  // namespace gaggle
