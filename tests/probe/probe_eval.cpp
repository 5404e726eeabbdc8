// probe routed-logits MODEL REGISTRY COLLECTION METHOD K [PREPARED] < {"rows": [rows]} > logits [T, vocab] as
// safetensors, all tokens one after the other (probe_rows.h), through the routed collection in fp32. METHOD may carry keys
// of its own; PREPARED is a safetensors file of states/EXPERT, average/EXPERT/SITE, mean/EXPERT/SITE and std/EXPERT/SITE.
// probe generate MODEL < {"prompts": [[ids]], "sources": [[ids]] (with an encoder), "beams", "length_penalty",
// "max_new_tokens", "end", and to draw tokens "temperature", "top_k", "top_p", "seed"} > [[ids]].
// probe sample < {"logits": [vocab], "temperature", "top_k", "top_p", "seed", "draws"} > {"u": [draws], "tokens": [draws]}: of
// as many steps of one answer.
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "config/method_text.h"
#include "eval/generate.h"
#include "eval/routing_of.h"
#include "eval/score.h"
#include "formats/safetensors.h"
#include "library/collection.h"
#include "probe/probe.h"
#include "probe/probe_examples.h"

namespace gaggle::probe {
namespace {

PreparedExperts read_prepared_file(const std::string& path, const RoutedCollection& collection, const BaseModel& base,
                                   const Method& method) {
  PreparedExperts prepared;
  const auto vectors = read_vectors(path);
  const auto find = [&](const std::string& name) {
    const auto found = vectors.find(name);
    return found == vectors.end() ? at::Tensor() : found->second;
  };
  std::vector<Calibration> statistics;
  const auto n = static_cast<int64_t>(collection.names.size());
  for (const std::string& name : collection.names) {
    const at::Tensor rows = find("states/" + name);
    prepared.states.push_back(rows.defined() ? rows / rows.norm(2, {1}, true) : rows);
  }
  for (const Site& site : base.sites()) {
    auto& averages = prepared.averages.emplace_back();
    Calibration& by = statistics.emplace_back(Calibration{at::zeros({n}), at::ones({n})});
    for (int64_t z = 0; z < n; ++z) {
      const std::string of = collection.names[static_cast<size_t>(z)] + "/" + site.name;
      averages.push_back(find("average/" + of));
      if (!find("mean/" + of).defined()) continue;
      by.offset[z] = find("mean/" + of)[0];
      by.factor[z] = 1 / find("std/" + of)[0];
    }
  }
  prepared.statistics[scoring_name(method)] = statistics;
  return prepared;
}

int run_routed_logits(const std::vector<std::string>& arguments) {
  const auto base = load_base_model(*open_model(arguments.at(0), ""), at::kFloat, at::kCPU, BaseUse::inference);
  const auto registry = Registry::open(arguments.at(1), std::nullopt, false);
  Config config;
  config.eval.methods = {arguments.at(3)};
  if (arguments.at(3) == "arrow:phatgoose") {
    config.eval.methods = {"arrow"};
    config.eval.arrow = "phatgoose";
  }
  config.eval.top_k = std::stoll(arguments.at(4));
  const std::string& method = config.eval.methods[0];
  const bool whole = needs_whole_collection(kind_of_method(method), read_method_text(config, method).eval);
  const auto collection = open_collection(registry, arguments.at(2), *base, /*keep=*/false, whole).collection;
  const auto methods = read_methods(config, collection);
  const PreparedExperts prepared =
      arguments.size() > 5 ? read_prepared_file(arguments[5], collection, *base, methods.at(0)) : PreparedExperts{};
  const auto adapter = make_adapter(methods.at(0), collection, prepared, config.run.seed, *base, {});
  const auto rows = nlohmann::json::parse(std::cin).at("rows");
  Microbatch batch = batch_in_order(rows);
  for (const auto& row : rows) batch.decoder.prompts.push_back(static_cast<int64_t>(row.at("input").size()));
  cover_with_one_segment(batch);
  std::vector<int64_t> all(static_cast<size_t>(batch.decoder.count()));
  std::iota(all.begin(), all.end(), 0);
  const auto logits = base->logits(base->forward(batch, adapter.get(), nullptr), all).to(at::kFloat).contiguous();
  const TensorView view{
      "logits", DType::f32, logits.sizes().vec(), {static_cast<const std::byte*>(logits.data_ptr()), logits.nbytes()}};
  std::cout << safetensors_bytes({view});
  return 0;
}

TokenSampling sampling_in(const nlohmann::json& request) {
  return {request.value("temperature", 0.0), request.value("top_k", int64_t{0}), request.value("top_p", 1.0),
          request.value("seed", uint64_t{0})};
}

int run_sample(const std::vector<std::string>&) {
  const auto request = nlohmann::json::parse(std::cin);
  const auto logits = request.at("logits").get<std::vector<float>>();
  const TokenSampling sampling = sampling_in(request);
  std::vector<double> draws;
  std::vector<int32_t> tokens;
  for (uint64_t step = 0; step < request.at("draws"); ++step) {
    draws.push_back(sampling_draw(sampling, 0, step));
    tokens.push_back(sample_token(logits, sampling, draws.back()));
  }
  std::cout << nlohmann::json{{"u", draws}, {"tokens", tokens}}.dump() << "\n";
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
  options.sampling = sampling_in(request);
  std::cout << nlohmann::json(generate(*base, nullptr, prompts, options)).dump() << "\n";
  return 0;
}

const Register logits("routed-logits", run_routed_logits);
const Register texts("generate", run_generate);
const Register samples("sample", run_sample);

}  // namespace
}  // namespace gaggle::probe
