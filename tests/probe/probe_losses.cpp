// probe adafactor SPEC.json STEPS.safetensors OUT.safetensors: STEPS has the tensors NAME, and their gradients
// NAME.1, NAME.2, …; OUT has NAME.1, NAME.2, … after each update.
// SPEC: tensors [NAME], lr [of each update], weight_decay, scale_parameter.
// probe tfew < JSON: the loss, weights and nll as JSON. Input: logits [N][V], target_ids, and per sequence
// tokens [number of targets], choices, samples; weights [N].
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "kernel/cross_entropy.h"
#include "probe/probe.h"
#include "train/adafactor.h"
#include "train/tfew.h"

namespace gaggle::probe {
namespace {

using nlohmann::json;

at::Tensor read_tensor(const SafetensorsFile& file, const std::string& name) {
  for (const TensorView& view : file.tensors()) {
    if (view.name != name) continue;
    at::Tensor tensor = at::empty(view.shape, at::kFloat);
    std::memcpy(tensor.data_ptr(), view.bytes.data(), view.bytes.size());
    return tensor;
  }
  user_error("no tensor {}", name);
}

int run_adafactor(const std::vector<std::string>& arguments) {
  if (arguments.size() != 3) user_error("probe adafactor SPEC.json STEPS.safetensors OUT.safetensors");
  const json spec = json::parse(read_file(arguments[0]));
  const SafetensorsFile steps(arguments[1]);
  const auto rates = spec.at("lr").get<std::vector<double>>();
  AdafactorSettings settings;
  settings.scale_parameter = spec.at("scale_parameter");
  std::vector<std::pair<std::string, at::Tensor>> after;
  for (const std::string name : spec.at("tensors")) {
    const at::Tensor values = read_tensor(steps, name);
    const at::Tensor state = at::zeros({adafactor_state_size(values.sizes())});
    for (size_t i = 0; i < rates.size(); ++i) {
      const std::string step = name + "." + std::to_string(i + 1);
      adafactor_update(values, read_tensor(steps, step), state, static_cast<int64_t>(i) + 1, rates[i],
                       spec.at("weight_decay"), settings);
      after.emplace_back(step, values.clone());
    }
  }
  std::vector<TensorView> views;
  for (const auto& [name, tensor] : after)
    views.push_back({name,
                     DType::f32,
                     tensor.sizes().vec(),
                     {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}});
  std::ofstream(arguments[2], std::ios::binary) << safetensors_bytes(views);
  return 0;
}

int run_tfew(const std::vector<std::string>&) {
  const json input = json::parse(std::cin);
  Microbatch batch;
  input.at("target_ids").get_to(batch.target_ids);
  input.at("weights").get_to(batch.target_weights);
  input.at("choices").get_to(batch.choices);
  input.at("samples").get_to(batch.decoder.samples);
  batch.decoder.starts = {0};
  for (const int64_t tokens : input.at("tokens")) batch.decoder.starts.push_back(batch.decoder.starts.back() + tokens);
  const size_t n = batch.target_ids.size();
  std::vector<int64_t> one_each = {0};
  for (size_t i = 0; i < n; ++i) {
    batch.scored_tokens.push_back(static_cast<int64_t>(i));
    one_each.push_back(static_cast<int64_t>(i) + 1);
  }
  at::Tensor logits = at::empty({static_cast<int64_t>(n), static_cast<int64_t>(input.at("logits")[0].size())});
  for (size_t i = 0; i < n; ++i)
    logits[static_cast<int64_t>(i)].copy_(at::tensor(input.at("logits")[i].get<std::vector<float>>()));
  at::Tensor nll = at::empty({static_cast<int64_t>(n)});
  std::vector<float> weights(n);
  cross_entropy_(logits, row_targets(one_each, batch.target_ids, {}, at::kCPU), 0, nll);
  const double loss = tfew_loss(batch, {nll.const_data_ptr<float>(), n}, weights);
  cross_entropy_(logits, row_targets(one_each, batch.target_ids, weights, at::kCPU), 0, nll);
  const std::span<const float> gradient(logits.const_data_ptr<float>(), static_cast<size_t>(logits.numel()));
  std::cout << json{{"loss", loss}, {"weights", weights}, {"gradient", gradient}}.dump() << "\n";
  return 0;
}

const Register adafactor("adafactor", run_adafactor);
const Register tfew("tfew", run_tfew);

}  // namespace
}  // namespace gaggle::probe
