// probe model-pass MODEL DTYPE [STORAGE] < {"sequences": [[ids]], "encoder": [[ids]], "sources": [numbers], "matrices":
// "FILE.safetensors", "target_rows", "target_ids", "target_weights"} > safetensors with logits [T, vocab], nll
// [N] (forward alone), and where there are weights: nll of forward_backward and the gradient of every matrix (y
// += x Cᵀ at each site), under the sites' names.
// probe model-info MODEL DTYPE: sites, digests and counts as JSON.
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/safetensors.h"
#include "model/base_model.h"
#include "model/hardware.h"
#include "probe/matrix_adapter.h"
#include "probe/probe.h"

namespace gaggle::probe {
namespace {

at::ScalarType compute_dtype(const std::string& name) {
  return name == "fp64" ? at::kDouble : resolve_dtype(name, at::kCPU);
}

std::unique_ptr<BaseModel> load(const std::vector<std::string>& arguments) {
  const auto checkpoint = open_model(arguments.at(0), "");
  const Storage storage = storage_named(arguments.size() > 2 ? arguments[2] : "dtype");
  return load_base_model(*checkpoint, compute_dtype(arguments.at(1)), at::kCPU, BaseUse::training, storage);
}

NamedTensor named(const std::string& name, const at::Tensor& values) {
  const at::Tensor x = values.to(values.scalar_type() == at::kDouble ? at::kDouble : at::kFloat).contiguous();
  const auto* bytes = static_cast<const std::byte*>(x.data_ptr());
  return {name, x.scalar_type() == at::kDouble ? DType::f64 : DType::f32, x.sizes().vec(), {bytes, bytes + x.nbytes()}};
}

void add_sequences(const nlohmann::json& sequences, TokenSequences& tokens) {
  tokens.starts.push_back(0);
  for (const auto& sequence : sequences) {
    int32_t position = 0;
    for (int32_t id : sequence.get<std::vector<int32_t>>()) {
      tokens.ids.push_back(id);
      tokens.positions.push_back(position++);
    }
    tokens.starts.push_back(tokens.count());
  }
  tokens.segments = {{0, 0, tokens.count()}};
}

Microbatch batch_of(const nlohmann::json& request) {
  Microbatch batch;
  add_sequences(request.at("sequences"), batch.decoder);
  if (request.contains("encoder")) {
    add_sequences(request["encoder"], batch.encoder);
    batch.sources = request.at("sources").get<std::vector<int64_t>>();
  }
  batch.scored_tokens = request.value("target_rows", std::vector<int64_t>());
  batch.target_ids = request.value("target_ids", std::vector<int32_t>());
  batch.target_weights = request.value("target_weights", std::vector<float>());
  return batch;
}

MatrixAdapter read_matrices(const std::string& path) {
  MatrixAdapter adapter;
  const SafetensorsFile file(path);
  for (const TensorView& view : file.tensors()) {
    const auto type = view.dtype == DType::f64 ? at::kDouble : at::kFloat;
    at::Tensor matrix = at::empty(view.shape, type);
    std::memcpy(matrix.data_ptr(), view.bytes.data(), view.bytes.size());
    adapter.matrices[view.name] = matrix;
  }
  return adapter;
}

int run_pass(const std::vector<std::string>& arguments) {
  const auto base = load(arguments);
  const auto request = nlohmann::json::parse(std::cin);
  const Microbatch batch = batch_of(request);
  MatrixAdapter adapter;
  if (request.contains("matrices")) adapter = read_matrices(request["matrices"]);
  std::vector<NamedTensor> result;
  const at::Tensor hidden = base->forward(batch, &adapter, nullptr);
  if (request.value("logits", true)) {
    std::vector<int64_t> all(static_cast<size_t>(batch.decoder.count()));
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
    result.push_back(named("logits", base->logits(hidden, all)));
  }
  result.push_back(named("nll", base->nll(hidden, batch)));
  if (!batch.target_weights.empty()) {
    result.push_back(named("training_nll", base->forward_backward(batch, adapter)));
    for (const auto& [name, gradient] : adapter.gradients) result.push_back(named(name, gradient));
  }
  std::vector<TensorView> views;
  for (const NamedTensor& tensor : result) views.push_back(tensor.view());
  std::cout << safetensors_bytes(views);
  return 0;
}

int run_info(const std::vector<std::string>& arguments) {
  const auto base = load(arguments);
  auto sites = nlohmann::json::array();
  for (const Site& site : base->sites()) sites.push_back({site.name, site.kind, site.layer, site.d_in, site.d_out});
  std::cout << nlohmann::json{{"sites", sites},
                              {"shape_digest", base->shape_digest()},
                              {"content_digest", base->content_digest()},
                              {"parameters", base->parameters()},
                              {"linear_weights", base->linear_weights()},
                              {"hardware", hardware_text(base->device(), base->dtype())}}
                   .dump()
            << "\n";
  return 0;
}

const Register pass("model-pass", run_pass);
const Register info("model-info", run_info);

}  // namespace
}  // namespace gaggle::probe
