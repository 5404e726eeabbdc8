// Small experts and folders for the registry's tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/file.h"
#include "formats/safetensors.h"
#include "registry/registry.h"

namespace gaggle::made {

// A folder that is empty before and gone after.
struct Folder {
  fs::path path = fs::temp_directory_path() /
                  ("gaggle_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) +
                   "_" + std::to_string(::getpid()));
  Folder() {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
};

inline const BaseFingerprint base{"tiny", "shapes-of-tiny", "content-of-tiny"};
inline constexpr const char* site = "model.layers.0.self_attn.q_proj";
inline constexpr const char* config =
    R"({"peft_type":"LORA","r":2,"lora_alpha":1,"target_modules":["q_proj"],"bias":"none","use_dora":false})";

inline std::vector<NamedTensor> lora(float value) {
  const std::vector<float> values(8, value);
  const std::string prefix = std::string("base_model.model.") + site;
  return {from_float(prefix + ".lora_A.weight", {2, 4}, values, DType::f32),
          from_float(prefix + ".lora_B.weight", {4, 2}, values, DType::f32)};
}

inline std::vector<NamedTensor> gates(float value) {
  return {from_float(std::string(site) + ".gate", {4}, std::vector<float>(4, value), DType::f32)};
}

inline NewExpert expert(const std::string& name, const std::string& key, float value, bool gated = true) {
  return {name, config, lora(value), gated ? gates(value) : std::vector<NamedTensor>{}, R"({"task":"made"})",
          key};
}

inline std::string file_of(const std::vector<NamedTensor>& tensors) {
  std::vector<TensorView> views;
  for (const NamedTensor& tensor : tensors) views.push_back(tensor.view());
  return safetensors_bytes(views);
}

inline void write_peft_folder(const fs::path& folder, float value, const std::string& text = config) {
  fs::create_directories(folder);
  write_file_durable(folder / "adapter_config.json", text);
  write_file_durable(folder / "adapter_model.safetensors", file_of(lora(value)));
}

}  // namespace gaggle::made
