#include "eval/sample.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/philox.h"

namespace gaggle {

int32_t sample_token(std::span<const float> logits, const TokenSampling& sampling, double u) {
  GAGGLE_CHECK(!logits.empty() && sampling.temperature > 0);
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const size_t most = sampling.top_k > 0 ? std::min(order.size(), static_cast<size_t>(sampling.top_k)) : order.size();
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(most), order.end(), likelier);
  order.resize(most);
  const double best = logits[static_cast<size_t>(order[0])];
  std::vector<double> below;  // Σ of the weights up to and with each
  double sum = 0;
  for (const int32_t token : order)
    below.push_back(sum +=
                    std::exp((static_cast<double>(logits[static_cast<size_t>(token)]) - best) / sampling.temperature));
  const auto reached = [&](double share) {  // the first whose sum is at least so much
    return static_cast<size_t>(std::ranges::lower_bound(below, share) - below.begin());
  };
  const size_t kept = std::min(most, reached(sampling.top_p * sum) + 1);
  return order[std::min(kept - 1, reached(u * below[kept - 1]))];
}

double sampling_draw(const TokenSampling& sampling, uint64_t prompt, uint64_t step) {
  return random_unit(random_key("answer", {sampling.seed, prompt}), step);
}

}  // namespace gaggle
