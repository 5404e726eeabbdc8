// What an adapter's folder says of its base.
#pragma once

#include <string>

#include "formats/checkpoint.h"

namespace gaggle {

struct PeftBase {
  std::string name;                     // base_model_name_or_path
  std::string task_type = "CAUSAL_LM";  // or SEQ_2_SEQ_LM: what PEFT wraps the model as
};

inline PeftBase peft_base(const ModelSpec& spec) {
  return {spec.name, spec.encoder_decoder() ? "SEQ_2_SEQ_LM" : "CAUSAL_LM"};
}

}  // namespace gaggle
