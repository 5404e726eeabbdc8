// The components of tokenizer.json (normalizer, pre_tokenizer, decoder), each a list of steps.
#pragma once

#include <filesystem>
#include <vector>

#include "text/decoder.h"
#include "text/json_file.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"

namespace gaggle {

// `node` is a component or null; a Sequence is taken apart. All throw UserError naming file and component.
std::vector<NormalizerStep> read_normalizer(const std::filesystem::path& file, const Json& node);

struct PreTokenizerParts {
  std::vector<PreTokenizerStep> steps;
  bool byte_level = false;
};
PreTokenizerParts read_pre_tokenizer(const std::filesystem::path& file, const Json& node);

std::vector<DecoderStep> read_decoder(const std::filesystem::path& file, const Json& node);

// Ids before and after a text.
struct Surroundings {
  std::vector<int32_t> prefix, suffix;
};
Surroundings read_post_processor(const std::filesystem::path& file, const Json& node);

}  // namespace gaggle
