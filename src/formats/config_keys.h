// Typed access to the keys of a config.json that names the file and the key in what it throws.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "formats/checkpoint.h"

namespace gaggle {

// Beyond every model, and small enough that products of three widths can be computed.
constexpr int64_t most_count = 1 << 24;

// All throw UserError where the key holds something else. null counts as left out, as in transformers.
class ConfigKeys {
 public:
  ConfigKeys(const nlohmann::json& table, std::string file) : table_(table), file_(std::move(file)) {}

  bool has(const char* key) const { return table_.contains(key) && !table_[key].is_null(); }
  bool names(const char* key) const { return table_.contains(key); }  // also with null
  const nlohmann::json& at(const char* key) const { return table_[key]; }

  int64_t count(const char* key) const;  // 1 to most_count
  int64_t count_or(const char* key, int64_t otherwise) const { return has(key) ? count(key) : otherwise; }
  int64_t from_zero_or(const char* key, int64_t otherwise) const;             // 0 to most_count
  int64_t token_or(const char* key, int64_t vocab, int64_t otherwise) const;  // 0 to vocab - 1
  double number(const char* key) const;                                       // above 0
  double number_or(const char* key, double otherwise) const { return has(key) ? number(key) : otherwise; }
  bool flag_or(const char* key, bool otherwise) const;
  std::string text_or(const char* key, const std::string& otherwise) const;

  const std::string& file() const { return file_; }

 private:
  void expect(bool good, const char* key, const std::string& what) const;  // the key is there, and good
  bool is_integer(const char* key, int64_t low, int64_t high) const;

  const nlohmann::json& table_;
  std::string file_;
};

// The models' set everything but the model's type and name.
void read_llama_config(const ConfigKeys& config, ModelSpec& spec);  // llama, mistral, qwen2, qwen3
void read_rope_config(const ConfigKeys& config, ModelSpec& spec);   // of such a model, whose shape is read already
void read_t5_config(const ConfigKeys& config, ModelSpec& spec);

}  // namespace gaggle
