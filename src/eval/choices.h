// Rank classification: what is made of the choices' NLLs before the smallest wins (eval.normalise).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/tokens.h"
#include "eval/score.h"
#include "text/tokenizer.h"

namespace gaggle {

// What stands in place of the question where a choice is scored without one: the ids that the tokenizer puts around an
// empty text, as `source` for an encoder, else as the prompt; where it puts none, its BOS token, else the end token.
struct NoQuestion {
  std::vector<int32_t> source, prompt;
};
NoQuestion no_question(const Tokenizer& tokenizer, int32_t decoder_start, int32_t end);

// NLL of every choice of the examples behind no question, [examples][choices]; equal ones are scored once.
std::vector<std::vector<double>> prior_nlls(BaseModel& base, SiteAdapter* adapter, const NoQuestion& no_question,
                                            std::span<const TokenExample> examples, int64_t token_budget,
                                            const std::function<void()>& between);

// One number for each choice of the example. By `normalise`: tokens: NLL / tokens, the end token among them; characters:
// NLL / choice_characters; none: NLL; prior: NLL less that of `priors` [choices], which no other rule reads.
std::vector<double> choice_scores(const std::string& normalise, const TokenExample& example,
                                  std::span<const ContinuationScore> choices, std::span<const double> priors);

// Index of the smallest; ties: the first.
size_t best_choice(std::span<const double> scores);

// For keys: what decides among the choices of these examples and is not in their tokens. "": nothing, for the metric ranks
// no choices or they are normalised by tokens.
std::string choice_rule(const EvalConfig& eval, const TokenTask& task, std::span<const TokenExample> examples,
                        const Tokenizer& tokenizer, int32_t decoder_start);

}  // namespace gaggle
