#include "eval/routing_watch.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace gaggle {
namespace {

// Of weights that sum to `sum`, nats; 0 where that is 0.
double entropy_of_token(std::span<const double> weights, double sum) {
  double entropy = 0;
  for (const double w : weights)
    if (w > 0) entropy -= w / sum * std::log(w / sum);
  return entropy;
}

void add_sums(WeightSums& to, const WeightSums& more) {
  to.tokens += more.tokens;
  to.weight.resize(std::max(to.weight.size(), more.weight.size()), 0);
  for (size_t z = 0; z < more.weight.size(); ++z) to.weight[z] += more.weight[z];
}

}  // namespace

void add(RoutingSums& to, const RoutingSums& more) {
  to.sites.resize(std::max(to.sites.size(), more.sites.size()));
  for (size_t s = 0; s < more.sites.size(); ++s) {
    add_sums(to.sites[s], more.sites[s]);
    to.sites[s].entropy += more.sites[s].entropy;
    to.sites[s].own_first += more.sites[s].own_first;
  }
  for (size_t c = 0; c < more.classes.size(); ++c) add_sums(to.classes[c], more.classes[c]);
  for (size_t p = 0; p < more.parts.size(); ++p) add_sums(to.parts[p], more.parts[p]);
}

RoutingWatch::RoutingWatch(RoutedAdapter& routing, size_t sites, size_t experts, int own, TokenClasses& classes)
    : routing_(routing), experts_(experts), own_(own), classes_(classes) {
  sums_.sites.resize(sites);
  for (WeightSums& of : sums_.sites) of.weight.assign(experts, 0);
  for (WeightSums& of : sums_.classes) of.weight.assign(experts, 0);
  for (WeightSums& of : sums_.parts) of.weight.assign(experts, 0);
  routing_.observe([this](const Site& site, const TokenRouting& routed) { chosen(site, routed); });
}

void RoutingWatch::begin(const Microbatch& batch) {
  GAGGLE_CHECK(batch.past.empty(), "a text is watched whole");
  for (const Side side : sides) {
    const TokenSequences& sequences = batch.side(side);
    Tokens& tokens = pass_[side] = {sequences.ids, {}, {}, {}, 0};
    tokens.weight.assign(sequences.ids.size() * experts_, 0);
    for (size_t s = 0; s + 1 < sequences.starts.size(); ++s) {
      const int64_t begin = sequences.starts[s], count = sequences.starts[s + 1] - begin;
      const auto ids = std::span(sequences.ids).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
      std::ranges::copy(classes_.classes_of(ids), std::back_inserter(tokens.classes));
      const int64_t prompt = sequences.prompts.empty() ? count : sequences.prompts[s];
      for (int64_t t = 0; t < count; ++t) tokens.parts.push_back(t < prompt ? TokenPart::prompt : TokenPart::answer);
    }
  }
  routing_.begin(batch);
}

void RoutingWatch::chosen(const Site& site, const TokenRouting& routed) {
  const at::Tensor experts = routed.experts.cpu().contiguous();
  const at::Tensor weights = routed.weights.to(at::kCPU, at::kDouble).contiguous();
  const auto count = static_cast<size_t>(experts.size(0)), k = static_cast<size_t>(experts.size(1));
  Tokens& tokens = pass_[site.side];
  GAGGLE_CHECK(count == tokens.ids.size(), "{} tokens at {}, {} in the pass", count, site.name, tokens.ids.size());
  SiteSums& of_site = sums_.sites[static_cast<size_t>(site.index)];
  of_site.tokens += static_cast<int64_t>(count);
  tokens.sites += 1;
  for (size_t t = 0; t < count; ++t) {
    const std::span chosen(experts.const_data_ptr<int64_t>() + t * k, k);
    const std::span weight(weights.const_data_ptr<double>() + t * k, k);
    WeightSums& of_class = sums_.classes[static_cast<size_t>(tokens.classes[t])];
    WeightSums& of_part = sums_.parts[static_cast<size_t>(tokens.parts[t])];
    of_class.tokens += 1;
    of_part.tokens += 1;
    double sum = 0;
    for (size_t j = 0; j < k; ++j) {
      const auto z = static_cast<size_t>(chosen[j]);
      of_site.weight[z] += weight[j];
      of_class.weight[z] += weight[j];
      of_part.weight[z] += weight[j];
      tokens.weight[t * experts_ + z] += weight[j];
      sum += weight[j];
    }
    of_site.entropy += entropy_of_token(weight, sum);
    of_site.own_first += k > 0 && chosen[0] == own_;
  }
}

RoutedToken RoutingWatch::token(const Tokens& tokens, size_t t) const {
  RoutedToken token{classes_.text_of(tokens.ids[t]), tokens.classes[t], tokens.parts[t]};
  for (size_t z = 0; z < experts_; ++z) {
    const double weight = tokens.weight[t * experts_ + z] / static_cast<double>(std::max<int64_t>(1, tokens.sites));
    const auto expert = static_cast<int>(z);
    if (weight > token.weight) {
      token.second = token.first, token.second_weight = token.weight;
      token.first = expert, token.weight = weight;
    } else if (weight > token.second_weight) {
      token.second = expert, token.second_weight = weight;
    }
  }
  return token;
}

std::vector<RoutedToken> RoutingWatch::tokens() const {
  std::vector<RoutedToken> all;
  for (const Side side : {Side::encoder, Side::decoder})
    for (size_t t = 0; t < pass_[side].ids.size(); ++t) all.push_back(token(pass_[side], t));
  return all;
}

}  // namespace gaggle
