// Small experts and folders for the registry's tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/file.h"
#include "formats/peft_poly.h"
#include "formats/safetensors.h"
#include "registry/registry.h"
#include "registry/routed.h"
#include "registry/rows.h"

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

// Two tasks, three skills, two heads; every skill k has A = B = value + k.
inline PeftPoly poly(float value) {
  PeftPolySite one{site, 1, 4, 4, {}, {}, std::vector<float>(12, 0.0f)};
  for (int head = 0; head < 2; ++head)
    for (int skill = 0; skill < 3; ++skill)
      for (int i = 0; i < 2; ++i) one.a.push_back(value + static_cast<float>(skill));
  one.b = one.a;
  PeftPoly made;
  made.tasks = 2;
  made.skills = 3;
  made.heads = 2;
  made.sites = {one};
  return made;
}

inline NewRouted routed(const std::string& name, const std::string& key, float value) {
  return {name, peft_poly_config_json(poly(value), {site}), peft_poly_tensors(poly(value), DType::f32),
          R"({"method":"mhr","tasks":["add","copy"]})", key};
}

inline NewRow row(const std::string& name, const std::string& key, const std::string& parent, float value) {
  return {name,
          parent,
          {from_float(site, {2, 3}, std::vector<float>(6, value), DType::f32)},
          R"({"task":"new"})",
          key};
}

inline std::string file_of(const std::vector<NamedTensor>& tensors) {
  std::vector<TensorView> views;
  for (const NamedTensor& tensor : tensors) views.push_back(tensor.view());
  return safetensors_bytes(views);
}

inline void write_peft_folder(const fs::path& folder, const std::string& text,
                              const std::vector<NamedTensor>& tensors) {
  fs::create_directories(folder);
  write_file_durable(folder / "adapter_config.json", text);
  write_file_durable(folder / "adapter_model.safetensors", file_of(tensors));
}

}  // namespace gaggle::made
