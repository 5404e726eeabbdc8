#include "train/tfew.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace gaggle {
namespace {

constexpr double least_unlikely = 0.01;

// The targets [begin, end) of one choice.
struct Choice {
  size_t begin = 0, end = 0;
  double sum = 0;  // of their nll
  double count() const { return static_cast<double>(end - begin); }
};

// The choices of every sample, the output first.
std::vector<std::vector<Choice>> samples_of(const Microbatch& batch, std::span<const float> nll) {
  GAGGLE_CHECK(batch.choices.empty() || batch.choices.size() == static_cast<size_t>(batch.decoder.sequences()));
  std::vector<std::vector<Choice>> samples;
  size_t target = 0;
  for (size_t s = 0; s < static_cast<size_t>(batch.decoder.sequences()); ++s) {
    Choice choice{target, target};
    for (; choice.end < nll.size() && batch.scored_tokens[choice.end] < batch.decoder.starts[s + 1]; ++choice.end)
      choice.sum += static_cast<double>(nll[choice.end]);
    GAGGLE_CHECK(choice.end > choice.begin, "sequence {} has no targets", s);
    target = choice.end;
    if (batch.choices.empty() || batch.choices[s] == 0) {
      samples.emplace_back();
    } else {
      GAGGLE_CHECK(!samples.empty(), "a wrong choice before any output");
      GAGGLE_CHECK(batch.decoder.samples.empty() || batch.decoder.samples[s] == batch.decoder.samples[s - 1],
                   "a wrong choice of sample {} without its output", batch.decoder.samples[s]);
    }
    samples.back().push_back(choice);
  }
  GAGGLE_CHECK(target == nll.size(), "targets out of their sequences' order");
  return samples;
}

// Σ -log(1 - p + 0.01) of a wrong choice; `factor` times its derivative is added to weights.
double unlikelihood(const Choice& choice, std::span<const float> nll, double factor, std::span<double> weights) {
  double loss = 0;
  for (size_t t = choice.begin; t < choice.end; ++t) {
    const auto n = static_cast<double>(nll[t]);
    const double unlikely = least_unlikely - std::expm1(-n);  // 1 - p + 0.01
    loss -= std::log(unlikely);
    weights[t] -= factor * std::exp(-n) / unlikely;
  }
  return loss;
}

// -log softmax(β)_0; `share` times its derivative is added to weights.
double rank_classification(std::span<const Choice> choices, double share, std::span<double> weights) {
  std::vector<double> p;  // exp(β_c - best), then the softmax
  double best = -INFINITY, total = 0;
  for (const Choice& c : choices) best = std::max(best, p.emplace_back(-c.sum / c.count()));
  const double right = p[0] - best;
  for (double& x : p) total += x = std::exp(x - best);
  for (size_t c = 0; c < choices.size(); ++c) {
    const double slope = share * ((c == 0 ? 1.0 : 0.0) - p[c] / total) / choices[c].count();
    for (size_t t = choices[c].begin; t < choices[c].end; ++t) weights[t] += slope;
  }
  return std::log(total) - right;
}

}  // namespace

double tfew_loss(const Microbatch& batch, std::span<const float> nll, std::span<float> weights) {
  GAGGLE_CHECK(nll.size() == batch.scored_tokens.size() && nll.size() == batch.target_weights.size());
  GAGGLE_CHECK(weights.empty() || weights.size() == nll.size());
  std::vector<double> slopes(nll.size());
  double loss = 0;
  for (const std::vector<Choice>& choices : samples_of(batch, nll)) {
    double share = 0;
    for (size_t t = choices[0].begin; t < choices[0].end; ++t) {
      slopes[t] = static_cast<double>(batch.target_weights[t]);
      share += slopes[t];
      loss += static_cast<double>(nll[t]) * slopes[t];
    }
    if (choices.size() == 1) continue;
    const std::span<const Choice> wrong = std::span(choices).subspan(1);
    double tokens = 0;
    for (const Choice& choice : wrong) tokens += choice.count();
    for (const Choice& choice : wrong) loss += share / tokens * unlikelihood(choice, nll, share / tokens, slopes);
    loss += share * rank_classification(choices, share, slopes);
  }
  std::copy_n(slopes.begin(), weights.size(), weights.begin());
  return loss;
}

}  // namespace gaggle
