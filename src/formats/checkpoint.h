// A base model on disk, whatever its container: Hugging Face folder, hub cache name, or GGUF file.
// Tensors carry Hugging Face names and layouts always (GGUF: mapped, q/k rows un-permuted).
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/activation.h"
#include "formats/stored_rows.h"
#include "formats/tensor.h"

namespace gaggle {

struct RopeScaling {
  std::string type;  // "" (none), "linear", "llama3", "yarn", "dynamic", "longrope"
  double factor = 1;
  double low_freq_factor = 1;   // llama3
  double high_freq_factor = 4;  // llama3
  int64_t original_max_position = 8192;
  // yarn: between so many turns over the original context the frequencies go over from kept to divided; whether the
  // ramp's ends are whole pairs; and what sine and cosine are multiplied with
  double beta_fast = 32, beta_slow = 1;
  bool truncate = true;
  double attention_factor = 1;  // longrope has it too
  // longrope: what divides each pair's frequency in a text of the original length at most, and in a longer one
  std::vector<float> short_factors{}, long_factors{};

  // dynamic and longrope turn every token of a text by its length. Texts of one class are turned alike.
  bool by_length() const { return type == "dynamic" || type == "longrope"; }
  int64_t length_class(int64_t length) const {
    if (type == "dynamic") return std::max(length, original_max_position);
    return type == "longrope" && length > original_max_position ? 1 : 0;
  }
};

// Shape of a Llama-shaped decoder, or of T5's encoder and decoder.
struct ModelSpec {
  std::string model_type;  // llama | mistral | qwen2 | qwen3 | t5
  std::string name;        // for people: folder or file name
  int64_t hidden = 0, intermediate = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0;
  int64_t max_positions = 0;
  int64_t sliding_window = 0;  // 0: none
  std::vector<bool> slides;    // by layer, where only some have the window; empty: all have it
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  double norm_eps = 1e-6;
  bool tied_head = false;
  bool qkv_bias = false;  // qwen2; llama with attention_bias has o_bias too
  bool o_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;  // qwen3
  Activation activation = Activation::silu;
  bool gated = true;  // the activation of one linear is multiplied with another's output

  // T5 only. `layers` are the decoder's.
  int64_t encoder_layers = 0;                               // 0: a decoder alone
  int64_t position_buckets = 0, position_max_distance = 0;  // of the relative position bias
  int32_t decoder_start = -1;                               // the token that a decoder's rows begin with
  double head_scale = 1;                                    // of the hidden state before a tied head (v1.0)
  bool encoder_decoder() const { return encoder_layers > 0; }
};

struct WeightInfo {
  std::string name;            // "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;  // [d_out, d_in]
};

class ModelCheckpoint {
 public:
  virtual ~ModelCheckpoint() = default;
  const ModelSpec& spec() const { return spec_; }
  const std::filesystem::path& path() const { return path_; }  // the folder or file that was opened
  const std::string& commit() const { return commit_; }        // of a hub name, else ""
  // Sorted by name: those of the files, or what config.json asks for where it lies alone (a plan's model).
  std::vector<WeightInfo> weights() const { return weights_; }
  virtual bool has_weights() const { return true; }
  // The tensor as fp32, row-major. Throws UserError if it is not there or its shape is not `shape`.
  virtual void read(const std::string& name, std::span<const int64_t> shape, std::span<float> values) const = 0;
  // How the file has a matrix of few bits; nullopt: it is of plain numbers.
  virtual std::optional<RowForm> form(const WeightInfo&) const { return std::nullopt; }
  // The rows of a matrix that has a form; expanded they are what `read` gives.
  virtual StoredRows stored(const WeightInfo& weight) const;
  // All is read: the process lets go of the files' pages.
  virtual void let_go() const {}

 protected:
  ModelSpec spec_;
  std::filesystem::path path_;
  std::string commit_;
  std::vector<WeightInfo> weights_;
};

// `path`: a folder with config.json, a .gguf file, or "org/name" found in the hub cache (HF_HUB_CACHE, HF_HOME,
// ~/.cache/huggingface/hub) at `revision`. Throws UserError that says what was looked for and where.
std::unique_ptr<ModelCheckpoint> open_model(const std::string& path, const std::string& revision);

// What decides whether an expert fits a base: SHA-256 over the lines "name d0 d1\n" in name order. Equal however
// the model is stored (folder or GGUF).
std::string shapes_digest(std::vector<WeightInfo> weights);

}  // namespace gaggle
