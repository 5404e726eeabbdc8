// The components of tokenizer.json (normalizer, pre_tokenizer, decoder), each a list of steps.
#pragma once

#include <vector>

#include "text/composed_tokenizer.h"
#include "text/json_file.h"

namespace gaggle {

// `node` is a component or null; a Sequence is taken apart. All throw UserError naming the component, not the file.
std::vector<NormalizerStep> read_normalizer(const Json& node);
void read_pre_tokenizer(const Json& node, TokenizerParts& parts);  // into pre_tokenizer and byte_level
std::vector<DecoderStep> read_decoder(const Json& node);

// Ids before and after a text.
struct Surroundings {
  std::vector<int32_t> prefix, suffix;
};
Surroundings read_post_processor(const Json& node);

}  // namespace gaggle
