#include "model/weights.h"

#include <ATen/Parallel.h>

#include "base/error.h"
#include "base/long_phase.h"
#include "base/pulse.h"
#include "base/sha256.h"

namespace gaggle {
namespace {

constexpr size_t large = size_t{1} << 22;  // values
constexpr size_t codes_and_scales = 2;     // what a weight in few bits is held as

// Few values that every row is multiplied with, or that every score has added.
bool kept_wide(const WeightInfo& weight) {
  return (weight.shape.size() == 1 && weight.name.ends_with("norm.weight")) ||
         weight.name.ends_with("relative_attention_bias.weight");
}

}  // namespace

at::ScalarType residual_dtype(at::ScalarType activations) {
  return activations == at::kDouble ? at::kDouble : at::kFloat;
}

bool goes_in_parts(const WeightInfo& weight) { return weight.shape.size() == 2 && !kept_wide(weight); }

FrozenTensor WeightTensors::take_matrix(const std::string& name) {
  const auto found = tensors.extract(name);
  return found ? found.mapped() : FrozenTensor();
}

at::Tensor WeightTensors::take(const std::string& name) {
  const FrozenTensor found = take_matrix(name);
  return found.defined() ? found.get() : at::Tensor();
}

// Tensors are independent: threads share them.
WeightTensors read_weights(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, Storage storage,
                           const std::shared_ptr<WeightShards>& shards) {
  const std::vector<WeightInfo> weights = checkpoint.weights();
  std::vector<FrozenTensor> tensors(weights.size());
  std::vector<StoredWeight> stored(weights.size());
  std::vector<std::string> digests(weights.size());
  std::vector<size_t> numbers(weights.size(), 0);  // of the first part of each
  for (size_t i = 0; shards && i < weights.size(); ++i)
    if (goes_in_parts(weights[i]))
      numbers[i] = shards->reserve(unit_of_weight(weights[i].name),
                                   form_in_memory(storage, checkpoint, weights[i]) ? codes_and_scales : 1);
  double values_in_all = 0;
  for (const WeightInfo& weight : weights) values_in_all += static_cast<double>(c10::multiply_integers(weight.shape));
  LongPhase phase("reading and hashing " + checkpoint.spec().name, values_in_all);
  at::parallel_for(0, static_cast<int64_t>(weights.size()), 1, [&](int64_t begin, int64_t end) {
    const c10::InferenceMode no_autograd;
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const WeightInfo& weight = weights[i];
      at::Tensor values = at::empty(weight.shape, at::kFloat);
      const std::span<float> span(values.data_ptr<float>(), static_cast<size_t>(values.numel()));
      const std::optional<RowForm> form = form_in_memory(storage, checkpoint, weight);
      StoredRows rows;
      if (form && checkpoint.form(weight) == form) {
        rows = checkpoint.stored(weight);
        expand(rows, span);
      } else {
        checkpoint.read(weight.name, weight.shape, span);
        if (form) rows = quantised(form->kind, span, weight.shape[0], weight.shape[1]);
      }
      // Of a large base the files would lie in memory beside it; what is still being read is mapped again.
      if (span.size() >= large || i + 1 == weights.size()) checkpoint.let_go();
      pulse();
      digests[i] = Sha256().update(std::as_bytes(span)).hex();
      auto place = [&, number = numbers[i]](const at::Tensor& whole) mutable -> FrozenTensor {
        if (!shards || !goes_in_parts(weight)) return whole.to(device);
        return {shards, unit_of_weight(weight.name), number++, whole};
      };
      if (form)
        stored[i] = StoredWeight(rows, dtype, device, place);
      else
        tensors[i] = place(values.to(kept_wide(weight) ? residual_dtype(dtype) : dtype));
      phase.add(static_cast<double>(span.size()));
    }
  });
  WeightTensors all;
  Sha256 digest;
  for (size_t i = 0; i < weights.size(); ++i) {
    digest.update(fmt::format("{}[{}]{}\n", weights[i].name, fmt::join(weights[i].shape, ","), digests[i]));
    if (!stored[i].defined()) {
      all.tensors.emplace(weights[i].name, std::move(tensors[i]));
      continue;
    }
    all.quantised |= checkpoint.form(weights[i]) != stored[i].form();
    all.stored.emplace(weights[i].name, std::move(stored[i]));
  }
  all.digest = digest.hex();
  return all;
}

}  // namespace gaggle
