// Poly's skills as one adapter: averaged, or mixed as a row of the routing table says.
#include <cmath>

#include "base/error.h"
#include "formats/peft.h"

namespace gaggle {
namespace {

// What stands before each head's skills, [heads · skills], and what the sum is divided by.
struct SkillWeights {
  std::vector<double> of;
  double divisor = 1;
};

// Σ over the skills of blocks [heads, skills, …] as [heads, …], summed in fp64.
std::vector<double> mixed(const PeftTensor& blocks, const PeftAdapter& poly, const SkillWeights& weights) {
  const auto heads = static_cast<size_t>(poly.heads), skills = static_cast<size_t>(poly.skills);
  const size_t size = blocks.values.size() / (heads * skills);
  std::vector<double> sum(size * heads);
  for (size_t head = 0; head < heads; ++head)
    for (size_t k = head * skills; k < (head + 1) * skills; ++k)
      for (size_t i = 0; i < size; ++i) sum[head * size + i] += weights.of[k] * blocks.values[k * size + i];
  for (double& value : sum) value /= weights.divisor;
  return sum;
}

void mix_pair(const PeftSite& from, const PeftAdapter& poly, const SkillWeights& weights, PeftSite& site) {
  const std::vector<double> a = mixed(from.tensors[0], poly, weights);  // [d_in, r]
  const std::vector<double> b = mixed(from.tensors[1], poly, weights);  // [heads, r, d_out / heads]
  const PeftWidths widths = widths_of(poly, from);
  const auto r = static_cast<size_t>(from.rank), d_in = static_cast<size_t>(widths.in);
  const auto d_out = static_cast<size_t>(widths.out), block = d_out / static_cast<size_t>(poly.heads);
  PeftTensor lora_a{{from.rank, widths.in}, std::vector<float>(r * d_in)};
  PeftTensor lora_b{{widths.out, from.rank}, std::vector<float>(d_out * r)};
  for (size_t i = 0; i < d_in; ++i)
    for (size_t j = 0; j < r; ++j) lora_a.values[j * d_in + i] = static_cast<float>(a[i * r + j]);
  for (size_t o = 0; o < d_out; ++o)
    for (size_t j = 0; j < r; ++j)
      lora_b.values[o * r + j] = static_cast<float>(b[(o / block * r + j) * block + o % block]);
  site.rank = from.rank;
  site.scale = 1.0 / static_cast<double>(from.rank);
  site.tensors = {std::move(lora_a), std::move(lora_b)};
}

void mix_vector(const PeftSite& from, const PeftAdapter& poly, const SkillWeights& weights, PeftSite& site) {
  const std::vector<double> mixture = mixed(from.tensors[0], poly, weights);
  const auto width = static_cast<int64_t>(mixture.size());
  site.feedforward = from.feedforward;
  site.tensors = {{from.feedforward ? std::vector<int64_t>{1, width} : std::vector<int64_t>{width, 1},
                   {mixture.begin(), mixture.end()}}};
}

template <class WeightsOf>
PeftAdapter mix(const PeftAdapter& poly, const WeightsOf& weights_of) {
  PeftAdapter mixture;
  mixture.kind = poly.kind == PeftKind::poly ? PeftKind::lora : PeftKind::ia3;
  mixture.base = poly.base;
  for (const PeftSite& from : poly.sites) {
    PeftSite& site = mixture.sites.emplace_back();
    site.site = from.site;
    (poly.kind == PeftKind::poly ? mix_pair : mix_vector)(from, poly, weights_of(from), site);
  }
  return mixture;
}

}  // namespace

PeftAdapter mean_of_skills(const PeftAdapter& poly) {
  const SkillWeights equal{std::vector<double>(static_cast<size_t>(poly.heads * poly.skills), 1),
                           static_cast<double>(poly.skills)};
  return mix(poly, [&](const PeftSite&) { return equal; });
}

PeftAdapter mixture_of_skills(const PeftAdapter& poly, const SkillLogits& logits_of) {
  const auto skills = static_cast<size_t>(poly.skills);
  return mix(poly, [&](const PeftSite& site) {
    const std::vector<float> logits = logits_of(site);
    GAGGLE_CHECK(logits.size() == static_cast<size_t>(poly.heads) * skills);
    SkillWeights weights;
    for (const float z : logits) weights.of.push_back(1 / (1 + std::exp(-static_cast<double>(z))));
    for (size_t first = 0; first < weights.of.size(); first += skills) {
      double sum = 1e-12;  // as in training: no division by zero
      for (size_t k = first; k < first + skills; ++k) sum += weights.of[k];
      for (size_t k = first; k < first + skills; ++k) weights.of[k] /= sum;
    }
    return weights;
  });
}

}  // namespace gaggle
