// An adapter's folder as it lies on disk, whoever wrote it, brought to the form that PEFT writes today: what PEFT up to
// 0.6 saved (adapter_model.bin), states of a model with the adapter's name in every key, ms-swift's and MLX's folders;
// and adapters of head or embedding, of which the rest can be taken.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/peft.h"

namespace gaggle {

struct PeftFiles {
  std::filesystem::path folder;
  nlohmann::ordered_json config;    // adapter_config.json as PEFT would have written it
  std::vector<TensorView> tensors;  // under PEFT's names, each once
  // What was changed on the way, in words for people. Empty: config and names are those of the folder's files.
  std::vector<std::string> changes;

  std::unique_ptr<TensorFile> file;  // `tensors` are views of it …
  std::vector<NamedTensor> made;     // … or of these
  const std::string& name() const { return file->name(); }
};

// `drop`: parts outside the layers, "lm_head" or "embed_tokens", that are left out. Throws UserError naming the folder
// and the reason: such parts that are not dropped, several adapters in one file, forms that are none of these.
PeftFiles open_peft(const std::filesystem::path& folder, const std::vector<std::string>& drop = {});
// What read_peft does with the folder's files.
PeftAdapter parse_peft(const PeftFiles& files, const std::vector<PeftKind>& kinds = all_peft_kinds);

// Those of the base's `modules` that target_modules names and that have no tensors; where no modules are given, the
// names in its list that fit no module of the adapter.
std::vector<std::string> targets_without_tensors(const PeftFiles& files, const PeftAdapter& adapter,
                                                 const std::vector<std::string>& modules);

// A config of mlx-lm, which knows no peft_type.
bool is_mlx(const nlohmann::ordered_json& config);
// The steps from an opened folder to PEFT's form; throws as open_peft does.
void bring_to_peft(PeftFiles& files, const std::vector<std::string>& drop);

// A base as an adapter's config names it: "unsloth/llama-3-8b-bnb-4bit" is "llama-3-8b" with weights of 4 bits.
struct DeclaredBase {
  std::string model;      // without the hub's owner and the words for its weights' form
  std::string quantised;  // "4 bits (bitsandbytes)"; "": nothing is said
};
DeclaredBase declared_base(const std::string& name);

}  // namespace gaggle
