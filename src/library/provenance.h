// What is stored beside an adapter's values, and how: the same for everything that is trained.
#pragma once

#include <nlohmann/json.hpp>

#include "formats/peft.h"
#include "model/base_model.h"
#include "registry/new_version.h"

namespace gaggle {

struct Provenance {
  const BaseModel& base;
  DType dtype = DType::f32;  // of the stored tensors; gates and routing rows are fp32 always
  std::string key;           // of the work item
  nlohmann::json about;      // task, recipe, data, metrics, parents, …: equal in every run of a recipe
};

// registry.dtype: fp32 | bf16 | fp16.
DType stored_dtype(const std::string& text);

// A version without files, whose sidecar says what `made` does, and of which base.
NewVersion new_version(Kind kind, const std::string& name, const Provenance& made);
// Adds the folder's two files, and the sizes to the sidecar.
void add_adapter(NewVersion& version, const PeftAdapter& adapter, const Provenance& made);

}  // namespace gaggle
