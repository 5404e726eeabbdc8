// probe routed-logits MODEL REGISTRY COLLECTION METHOD K < {"rows": [rows]} > logits [T, vocab] as
// safetensors, all tokens one after the other (probe_rows.h), through the routed collection in fp32.
// probe generate MODEL < {"prompts": [[ids]], "sources": [[ids]] (with an encoder), "beams", "length_penalty",
// "max_new_tokens", "end"} > [[ids]].
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "eval/generate.h"
#include "eval/method.h"
#include "eval/score.h"
#include "formats/safetensors.h"
#include "library/collection.h"
#include "probe/probe.h"
#include "probe/probe_examples.h"

namespace gaggle::probe {
namespace {

int run_routed_logits(const std::vector<std::string>& arguments) {
  const auto base = load_base_model(*open_model(arguments.at(0), ""), at::kFloat, at::kCPU, BaseUse::inference);
  const auto registry = Registry::open(arguments.at(1), std::nullopt, false);
  const auto collection = open_collection(registry, arguments.at(2), *base, /*keep=*/false).collection;
  Config config;
  config.eval.methods = {arguments.at(3)};
  if (arguments.at(3) == "arrow:phatgoose") {
    config.eval.methods = {"arrow"};
    config.eval.arrow = "phatgoose";
  }
  config.eval.top_k = std::stoll(arguments.at(4));
  const auto methods = read_methods(config, collection);
  const auto adapter = make_adapter(methods.at(0), collection, config.eval, config.run.seed, *base, "");
  Microbatch batch = batch_in_order(nlohmann::json::parse(std::cin).at("rows"));
  cover_with_one_segment(batch);
  std::vector<int64_t> all(static_cast<size_t>(batch.decoder.count()));
  std::iota(all.begin(), all.end(), 0);
  const auto logits = base->logits(base->forward(batch, adapter.get(), nullptr), all).to(at::kFloat).contiguous();
  const TensorView view{
      "logits", DType::f32, logits.sizes().vec(), {static_cast<const std::byte*>(logits.data_ptr()), logits.nbytes()}};
  std::cout << safetensors_bytes({view});
  return 0;
}

int run_generate(const std::vector<std::string>& arguments) {
  const auto base = load_base_model(*open_model(arguments.at(0), ""), at::kFloat, at::kCPU, BaseUse::inference);
  const auto request = nlohmann::json::parse(std::cin);
  const auto ids = request.at("prompts").get<std::vector<std::vector<int32_t>>>();
  auto sources = request.value("sources", std::vector<std::vector<int32_t>>());
  sources.resize(ids.size());
  std::vector<GeneratePrompt> prompts;
  for (size_t i = 0; i < ids.size(); ++i) prompts.push_back({sources[i], ids[i]});
  GenerateOptions options;
  options.max_new_tokens = request.at("max_new_tokens");
  options.beams = request.at("beams");
  options.length_penalty = request.at("length_penalty");
  options.end = request.at("end");
  std::cout << nlohmann::json(generate(*base, nullptr, prompts, options)).dump() << "\n";
  return 0;
}

const Register logits("routed-logits", run_routed_logits);
const Register texts("generate", run_generate);

}  // namespace
}  // namespace gaggle::probe
