// formats: a base model's hyperparameters and weights, a PEFT folder's sites, event files, as Python can hold
// them against transformers, gguf, peft and tensorboard.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/checkpoint.h"
#include "formats/gguf.h"
#include "formats/peft.h"
#include "formats/safetensors.h"
#include "formats/tfevents.h"
#include "formats/torch_file.h"
#include "probe/probe.h"

namespace gaggle::probe {
namespace {

using nlohmann::ordered_json;
using Arguments = std::vector<std::string>;

void require(const Arguments& arguments, size_t least, const char* usage) {
  if (arguments.size() < least) user_error("probe {}", usage);
}

DType dtype_of(const std::string& name) {
  for (DType dtype : {DType::f32, DType::f16, DType::bf16})
    if (name_of(dtype) == name) return dtype;
  user_error("dtype {}: expected F32, F16 or BF16", name);
}

void save(const std::string& path, std::vector<NamedTensor> tensors) {
  std::vector<TensorView> views;
  for (const NamedTensor& tensor : tensors) views.push_back(tensor.view());
  write_file_atomic(path, safetensors_bytes(views));
}

// probe weights MODEL OUT.safetensors [NAME…]
int weights(const Arguments& arguments) {
  require(arguments, 2, "weights MODEL OUT.safetensors [NAME…]");
  const auto model = open_model(arguments[0], "");
  std::vector<NamedTensor> tensors;
  for (const WeightInfo& weight : model->weights()) {
    if (arguments.size() > 2 && std::find(arguments.begin() + 2, arguments.end(), weight.name) == arguments.end())
      continue;
    size_t count = 1;
    for (int64_t extent : weight.shape) count *= static_cast<size_t>(extent);
    std::vector<float> values(count);
    model->read(weight.name, weight.shape, values);
    tensors.push_back(from_float(weight.name, weight.shape, values, DType::f32));
  }
  save(arguments[1], std::move(tensors));
  return 0;
}

// probe spec MODEL [REVISION]
int spec(const Arguments& arguments) {
  require(arguments, 1, "spec MODEL [REVISION]");
  const auto model = open_model(arguments[0], arguments.size() > 1 ? arguments[1] : "");
  const ModelSpec& s = model->spec();
  const ordered_json rope{{"type", s.rope_scaling.type},
                          {"factor", s.rope_scaling.factor},
                          {"low_freq_factor", s.rope_scaling.low_freq_factor},
                          {"high_freq_factor", s.rope_scaling.high_freq_factor},
                          {"original_max_position", s.rope_scaling.original_max_position},
                          {"attention_factor", s.rope_scaling.attention_factor},
                          {"short_factors", s.rope_scaling.short_factors},
                          {"long_factors", s.rope_scaling.long_factors}};
  const char* const activations[] = {"silu", "gelu_tanh", "relu"};
  const ordered_json all{{"model_type", s.model_type},
                         {"name", s.name},
                         {"hidden", s.hidden},
                         {"intermediate", s.intermediate},
                         {"layers", s.layers},
                         {"heads", s.heads},
                         {"kv_heads", s.kv_heads},
                         {"head_dim", s.head_dim},
                         {"vocab", s.vocab},
                         {"max_positions", s.max_positions},
                         {"sliding_window", s.sliding_window},
                         {"slides", s.slides},
                         {"rope_theta", s.rope_theta},
                         {"rope_scaling", rope},
                         {"norm_eps", s.norm_eps},
                         {"tied_head", s.tied_head},
                         {"qkv_bias", s.qkv_bias},
                         {"o_bias", s.o_bias},
                         {"mlp_bias", s.mlp_bias},
                         {"qk_norm", s.qk_norm},
                         {"activation", activations[static_cast<size_t>(s.activation)]},
                         {"gated", s.gated},
                         {"encoder_layers", s.encoder_layers},
                         {"position_buckets", s.position_buckets},
                         {"position_max_distance", s.position_max_distance},
                         {"decoder_start", s.decoder_start},
                         {"head_scale", s.head_scale},
                         {"has_weights", model->has_weights()},
                         {"path", model->path().string()},
                         {"commit", model->commit()}};
  std::printf("%s\n", all.dump().c_str());
  return 0;
}

// probe shapes MODEL: {"tensor's name": [extents]}
int shapes(const Arguments& arguments) {
  require(arguments, 1, "shapes MODEL");
  ordered_json all = ordered_json::object();
  for (const WeightInfo& weight : open_model(arguments[0], "")->weights()) all[weight.name] = weight.shape;
  std::printf("%s\n", all.dump().c_str());
  return 0;
}

// probe gguf-tensors FILE OUT.safetensors: every tensor as the file has it, dequantised.
int gguf_tensors(const Arguments& arguments) {
  require(arguments, 2, "gguf-tensors FILE OUT.safetensors");
  const GgufFile file{fs::path(arguments[0])};
  std::vector<NamedTensor> tensors;
  for (const GgufTensor& tensor : file.tensors()) {
    std::vector<float> values(static_cast<size_t>(tensor.count()));
    dequantize(tensor.type, tensor.bytes, values);
    tensors.push_back(from_float(tensor.name, tensor.shape, values, DType::f32));
  }
  save(arguments[1], std::move(tensors));
  return 0;
}

// probe torch-tensors FILE OUT.safetensors: every tensor of a file of torch.save as it has it.
int torch_tensors(const std::vector<std::string>& arguments) {
  require(arguments, 2, "torch-tensors FILE OUT");
  const TorchFile file(arguments[0]);
  write_file_atomic(arguments[1], safetensors_bytes(file.tensors()));
  return 0;
}

// probe gguf-metadata FILE
int gguf_metadata(const Arguments& arguments) {
  require(arguments, 1, "gguf-metadata FILE");
  const GgufFile file{fs::path(arguments[0])};
  ordered_json all;
  for (const auto& [key, value] : file.metadata()) std::visit([&](const auto& held) { all[key] = held; }, value);
  std::printf("%s\n", all.dump(-1, ' ', true, ordered_json::error_handler_t::replace).c_str());
  return 0;
}

// probe peft-show FOLDER
int peft_show(const Arguments& arguments) {
  require(arguments, 1, "peft-show FOLDER");
  const PeftAdapter lora = read_peft(arguments[0], {PeftKind::lora});
  ordered_json sites = ordered_json::object();
  for (const PeftSite& site : lora.sites) {
    const PeftWidths widths = widths_of(lora, site);
    sites[site.site] = {{"rank", site.rank}, {"scale", site.scale}, {"d_in", widths.in}, {"d_out", widths.out}};
  }
  const ordered_json all{{"base", lora.base.name}, {"dtype", name_of(lora.dtype)}, {"sites", sites}};
  std::printf("%s\n", all.dump().c_str());
  return 0;
}

// All sites of the base, one a line of stdin.
std::vector<std::string> sites_from_stdin() {
  std::vector<std::string> sites;
  char line[4096];
  while (std::fgets(line, sizeof(line), stdin)) {
    sites.emplace_back(line);
    sites.back().erase(sites.back().find_last_not_of("\n") + 1);
  }
  return sites;
}

void save_peft(const fs::path& out, const std::string& config, std::vector<NamedTensor> tensors) {
  fs::create_directories(out);
  write_file_atomic(out / "adapter_config.json", config);
  save((out / "adapter_model.safetensors").string(), std::move(tensors));
}

// probe peft-copy FOLDER OUT DTYPE < sites: read and written again.
int peft_copy(const Arguments& arguments) {
  require(arguments, 3, "peft-copy FOLDER OUT DTYPE");
  const PeftAdapter lora = read_peft(arguments[0], {PeftKind::lora});
  save_peft(arguments[1], peft_config_json(lora, sites_from_stdin()), peft_tensors(lora, dtype_of(arguments[2])));
  return 0;
}

// probe poly-show FOLDER
int poly_show(const Arguments& arguments) {
  require(arguments, 1, "poly-show FOLDER");
  const PeftAdapter poly = read_peft(arguments[0], {PeftKind::poly});
  ordered_json sites = ordered_json::object();
  for (const PeftSite& site : poly.sites) {
    const PeftWidths widths = widths_of(poly, site);
    sites[site.site] = {{"rank", site.rank}, {"d_in", widths.in}, {"d_out", widths.out}};
  }
  const ordered_json all{{"base", poly.base.name}, {"dtype", name_of(poly.dtype)}, {"tasks", poly.tasks},
                         {"skills", poly.skills},  {"heads", poly.heads},          {"sites", sites}};
  std::printf("%s\n", all.dump().c_str());
  return 0;
}

// probe poly-copy FOLDER OUT < sites: read and written again in its own type.
int poly_copy(const Arguments& arguments) {
  require(arguments, 2, "poly-copy FOLDER OUT");
  const PeftAdapter poly = read_peft(arguments[0], {PeftKind::poly});
  save_peft(arguments[1], peft_config_json(poly, sites_from_stdin()), peft_tensors(poly, poly.dtype));
  return 0;
}

// probe poly-mean FOLDER OUT < sites: the skills averaged into a plain LoRA.
int poly_mean(const Arguments& arguments) {
  require(arguments, 2, "poly-mean FOLDER OUT");
  const PeftAdapter mean = mean_of_skills(read_peft(arguments[0], {PeftKind::poly}));
  save_peft(arguments[1], peft_config_json(mean, sites_from_stdin()), peft_tensors(mean, DType::f32));
  return 0;
}

// probe tfevents FOLDER TAG STEP VALUE TIME …
int tfevents(const Arguments& arguments) {
  require(arguments, 1, "tfevents FOLDER [TAG STEP VALUE TIME]…");
  TensorboardWriter writer(arguments[0]);
  for (size_t i = 1; i + 3 < arguments.size(); i += 4)
    writer.scalar(arguments[i], std::stoll(arguments[i + 1]), std::stod(arguments[i + 2]), std::stod(arguments[i + 3]));
  writer.flush();
  return 0;
}

const Register registered[] = {{"weights", weights},
                               {"spec", spec},
                               {"shapes", shapes},
                               {"gguf-tensors", gguf_tensors},
                               {"gguf-metadata", gguf_metadata},
                               {"peft-show", peft_show},
                               {"peft-copy", peft_copy},
                               {"poly-show", poly_show},
                               {"poly-copy", poly_copy},
                               {"poly-mean", poly_mean},
                               {"tfevents", tfevents},
                               {"torch-tensors", torch_tensors}};

}  // namespace
}  // namespace gaggle::probe
