// Small experts and folders for the registry's tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/file.h"
#include "formats/peft.h"
#include "registry/new_version.h"
#include "registry/version_files.h"

namespace gaggle::made {

// A folder that is empty before and gone after.
struct Folder {
  fs::path path = fs::temp_directory_path() /
                  ("gaggle_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) + "_" +
                   std::to_string(::getpid()));
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

inline NewVersion expert(const std::string& name, const std::string& key, float value, bool gated = true) {
  NewVersion made{Kind::expert, name, key, {}, {}, {{"task", "made"}}};
  made.files[adapter_config_file] = config;
  made.files[adapter_file] = tensor_file_bytes(lora(value));
  if (gated) made.files[gate_file] = tensor_file_bytes(gates(value));
  return made;
}

// Two tasks, three skills, two heads; every skill k has A = B = value + k.
inline PeftAdapter poly(float value) {
  PeftTensor skills{{2, 3, 2, 1}, {}};
  for (int head = 0; head < 2; ++head)
    for (int skill = 0; skill < 3; ++skill)
      for (int i = 0; i < 2; ++i) skills.values.push_back(value + static_cast<float>(skill));
  PeftTensor b{{2, 3, 1, 2}, skills.values};
  PeftSite one;
  one.site = site;
  one.rank = 1;
  one.tensors = {skills, b, {{2, 6}, std::vector<float>(12, 0.0f)}};
  return {PeftKind::poly, {}, DType::f32, 2, 3, 2, {one}};
}

inline NewVersion inventory(const std::string& name, const std::string& key, float value) {
  NewVersion made{Kind::inventory, name, key, {}, {}, {{"method", "mhr"}, {"tasks", {"add", "copy"}}}};
  made.files[adapter_config_file] = peft_config_json(poly(value), {site});
  made.files[adapter_file] = tensor_file_bytes(peft_tensors(poly(value), DType::f32));
  made.sidecar.update(sizes_json(poly(value)));
  return made;
}

// `parent`: an inventory that is there, name or name@version.
inline NewVersion routing_row(const Registry& registry, const std::string& name, const std::string& key,
                              const std::string& parent, float value) {
  const Version from = registry.load(Kind::inventory, parent);
  NewVersion made{Kind::routing_row, name, key, {}, {}, {{"task", "new"}}};
  made.files[routing_row_file] =
      tensor_file_bytes({from_float(site, {2, 3}, std::vector<float>(6, value), DType::f32)});
  made.sidecar["parent"] = from.pin();
  made.sidecar["parent_sha256"] = digest_of(from);
  return made;
}

inline void write_peft_folder(const fs::path& folder, const std::string& text, const std::string& tensors) {
  fs::create_directories(folder);
  write_file_durable(folder / adapter_config_file, text);
  write_file_durable(folder / adapter_file, tensors);
}

}  // namespace gaggle::made
