// What the probes of Poly and of (IA)³ share: tasks and sequences from JSON, tensors into files.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "formats/safetensors.h"
#include "model/base_model.h"
#include "probe/probe_examples.h"
#include "train/skills.h"

namespace gaggle::probe {

// [[{"input", "target"}]] by task.
inline std::vector<TokenTask> training_tasks(const nlohmann::json& spec) {
  std::vector<TokenTask> tasks;
  for (const nlohmann::json& task : spec) {
    tasks.emplace_back().name = fmt::format("task {}", tasks.size());
    for (const nlohmann::json& example : task) tasks.back().splits[0].push_back(token_example(example));
  }
  return tasks;
}

inline int64_t examples_of_all(const std::vector<TokenTask>& tasks) {
  int64_t examples = 0;
  for (const TokenTask& task : tasks) examples += static_cast<int64_t>(task.splits[0].size());
  return examples;
}

// One example for each of `tasks` tasks in turn; nothing is scored.
inline Microbatch batch_by_task(const nlohmann::json& list, int64_t tasks) {
  Microbatch batch = batch_in_order(list);
  for (auto* segments : {&batch.decoder.segments, &batch.encoder.segments})
    for (Segment& segment : *segments) segment.member %= static_cast<int>(tasks);
  return batch;
}

inline at::Tensor all_logits(BaseModel& base, const Microbatch& batch, SiteAdapter& adapter) {
  std::vector<int64_t> all(static_cast<size_t>(batch.decoder.count()));
  std::iota(all.begin(), all.end(), 0);
  return base.logits(base.forward(batch, &adapter, nullptr), all).contiguous();
}

inline TensorView float_view(const std::string& name, const at::Tensor& values) {
  return {name,
          DType::f32,
          values.sizes().vec(),
          {static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()}};
}

// OUT.safetensors: every tensor; OUT.json: the losses.
inline void write_trained(const std::string& out, const PolySpec& spec, const at::Tensor& values,
                          const nlohmann::json& losses) {
  const ParameterLayout layout = poly_layout(spec);
  std::vector<TensorView> views;
  for (const ParameterInfo& t : layout.tensors()) views.push_back(float_view(t.name, layout.view(values, t)));
  std::ofstream(out + ".safetensors", std::ios::binary) << safetensors_bytes(views);
  std::ofstream(out + ".json") << losses.dump();
}

}  // namespace gaggle::probe
