#include "eval/generate.h"

#include "eval/beam.h"
#include "eval/greedy.h"
#include "eval/score.h"

namespace gaggle {

GenerateOptions generate_options(const EvalConfig& eval) {
  GenerateOptions options;
  options.max_new_tokens = eval.max_new_tokens;
  options.beams = eval.beams;
  options.length_penalty = eval.length_penalty;
  return options;
}

std::vector<std::vector<int32_t>> generate(BaseModel& base, SiteAdapter* adapter,
                                           std::span<const GeneratePrompt> prompts,
                                           const GenerateOptions& options) {
  std::vector<std::vector<int32_t>> outputs(prompts.size());
  std::vector<int64_t> lengths;
  for (const GeneratePrompt& prompt : prompts)
    lengths.push_back(static_cast<int64_t>(prompt.source.size() + prompt.input.size()) +
                      options.beams * options.max_new_tokens);
  for (const auto& batch : batches_by_length(lengths, options.token_budget)) {
    Decoding decoding{base, adapter, prompts, {}};
    if (options.beams == 1)
      generate_greedy(decoding, batch, options, outputs);
    else
      generate_beams(decoding, batch, options, outputs);
  }
  return outputs;
}

}  // namespace gaggle
