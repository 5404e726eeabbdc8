#include "eval/generate.h"

#include "eval/decoding.h"
#include "eval/score.h"

namespace gaggle {
namespace {

// The next token of every sequence from its logits [S, vocab]: the likeliest, the first of equals, or one that is drawn.
std::vector<int32_t> next_tokens(const at::Tensor& logits, const std::vector<Sequence>& active,
                                 const TokenSampling& sampling) {
  std::vector<int32_t> tokens;
  if (sampling.temperature == 0) {
    const auto best = logits.argmax(1).to(at::kCPU);
    for (size_t s = 0; s < active.size(); ++s) tokens.push_back(static_cast<int32_t>(best.data_ptr<int64_t>()[s]));
    return tokens;
  }
  const auto rows = logits.to(at::kCPU, at::kFloat).contiguous();
  const auto width = static_cast<size_t>(rows.size(1));
  for (size_t s = 0; s < active.size(); ++s)
    tokens.push_back(sample_token({rows.data_ptr<float>() + s * width, width}, sampling,
                                  sampling_draw(sampling, active[s].prompt, active[s].tokens.size())));
  return tokens;
}

// A token at a time. Writes the outputs of the prompts in `batch`; the decoding's cache is empty.
void generate_one_by_one(Decoding& decoding, std::span<const size_t> batch, const GenerateOptions& options,
                         std::vector<std::vector<int32_t>>& outputs) {
  std::vector<Sequence> active;
  for (int64_t step = 0; step < options.max_new_tokens; ++step) {
    if (options.between) options.between();
    const auto logits = step == 0 ? feed_prompts(decoding, batch, active) : feed_last_tokens(decoding, active);
    const auto tokens = next_tokens(logits, active, options.sampling);
    std::vector<Sequence> going;
    for (size_t s = 0; s < active.size(); ++s) {
      const int32_t token = tokens[s];
      if (token == options.end) continue;
      outputs[active[s].prompt].push_back(token);
      if (options.on_token) options.on_token(active[s].prompt, token);
      active[s].tokens.push_back(token);
      going.push_back(std::move(active[s]));
    }
    active = std::move(going);
    if (active.empty()) return;
  }
}

}  // namespace

GenerateOptions generate_options(const EvalConfig& eval) {
  return {.max_new_tokens = eval.max_new_tokens, .beams = eval.beams, .length_penalty = eval.length_penalty};
}

std::vector<std::vector<int32_t>> generate(BaseModel& base, SiteAdapter* adapter,
                                           std::span<const GeneratePrompt> prompts, const GenerateOptions& options) {
  std::vector<std::vector<int32_t>> outputs(prompts.size());
  std::vector<int64_t> lengths;
  for (const GeneratePrompt& prompt : prompts)
    lengths.push_back(static_cast<int64_t>(prompt.source.size() + prompt.input.size()) +
                      options.beams * options.max_new_tokens);
  for (const auto& batch : batches_by_length(lengths, options.token_budget)) {
    Decoding decoding{base, adapter, prompts, {}};
    if (options.beams == 1)
      generate_one_by_one(decoding, batch, options, outputs);
    else
      generate_beams(decoding, batch, options, outputs);
  }
  return outputs;
}

}  // namespace gaggle
