#include "eval/analysis.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace gaggle {
namespace {

// A site's mean weights over their sum; empty where it has none.
std::vector<double> distribution(const SiteSums& site) {
  const double sum = std::accumulate(site.weight.begin(), site.weight.end(), 0.0);
  if (sum == 0) return {};
  std::vector<double> p = site.weight;
  for (double& value : p) value /= sum;
  return p;
}

double entropy_of(const std::vector<double>& p) {
  double entropy = 0;
  for (const double value : p)
    if (value > 0) entropy -= value * std::log(value);
  return entropy;
}

double smoothed(const std::vector<double>& p, size_t z) {
  return (1 - smoothing) * p[z] + smoothing / static_cast<double>(p.size());
}

// sums / counts [sites], each taken together over the sites of a layer, and over all.
BySites by_sites(const std::vector<double>& sums, const std::vector<double>& counts, const std::vector<Site>& sites) {
  int layers = 0;
  for (const Site& site : sites) layers = std::max(layers, site.layer + 1);
  std::vector<double> of_layer(static_cast<size_t>(layers), 0), count_of_layer = of_layer;
  double all = 0, count = 0;
  BySites values;
  const auto ratio = [](double sum, double n) { return n == 0 ? NAN : sum / n; };
  for (size_t s = 0; s < sites.size(); ++s) {
    values.by_site.push_back(ratio(sums[s], counts[s]));
    of_layer[static_cast<size_t>(sites[s].layer)] += sums[s], all += sums[s];
    count_of_layer[static_cast<size_t>(sites[s].layer)] += counts[s], count += counts[s];
  }
  for (size_t l = 0; l < of_layer.size(); ++l) values.by_layer.push_back(ratio(of_layer[l], count_of_layer[l]));
  values.mean = ratio(all, count);
  return values;
}

}  // namespace

double RoutedExamples::nll_per_token() const {
  return target_tokens == 0 ? NAN : nll / static_cast<double>(target_tokens);
}

void add(RoutedExamples& to, const RoutedExamples& more) {
  to.examples += more.examples;
  to.target_tokens += more.target_tokens;
  to.nll += more.nll;
  add(to.sums, more.sums);
  to.texts.insert(to.texts.end(), more.texts.begin(), more.texts.end());
}

RoutingMeasures measures_of(const RoutingSums& sums, const std::vector<Site>& sites, int own) {
  RoutingMeasures measures;
  std::vector<double> one, tokens, entropy, token_entropy, first, oracle;
  for (const SiteSums& site : sums.sites) {
    const std::vector<double> p = distribution(site);
    one.push_back(p.empty() ? 0 : 1);
    tokens.push_back(static_cast<double>(site.tokens));
    entropy.push_back(entropy_of(p));
    token_entropy.push_back(site.entropy);
    first.push_back(static_cast<double>(site.own_first));
    oracle.push_back(p.empty() || own < 0 ? 0 : -std::log(smoothed(p, static_cast<size_t>(own))));
    std::vector<double>& weights = measures.weights.emplace_back();
    if (site.tokens > 0) weights = site.weight;
    for (double& weight : weights) weight /= static_cast<double>(site.tokens);
    measures.share.resize(site.weight.size(), 0);
    for (size_t z = 0; z < site.weight.size(); ++z) measures.share[z] += site.weight[z];
  }
  const double all = std::accumulate(measures.share.begin(), measures.share.end(), 0.0);
  for (double& share : measures.share) share = all == 0 ? 0 : share / all;
  const std::vector<double> none(sums.sites.size(), 0);
  measures.entropy = by_sites(entropy, one, sites);
  measures.token_entropy = by_sites(token_entropy, tokens, sites);
  measures.own_first = by_sites(first, own < 0 ? none : tokens, sites);
  measures.oracle_divergence = by_sites(oracle, own < 0 ? none : one, sites);
  return measures;
}

double divergence(const RoutingSums& a, const RoutingSums& b) {
  double sum = 0, sites = 0;
  for (size_t s = 0; s < a.sites.size(); ++s) {
    const std::vector<double> p = distribution(a.sites[s]), r = distribution(b.sites[s]);
    if (p.empty() || r.empty()) continue;
    for (size_t z = 0; z < p.size(); ++z) sum += smoothed(p, z) * std::log(smoothed(p, z) / smoothed(r, z));
    sites += 1;
  }
  return sites == 0 ? NAN : sum / sites;
}

int Analysis::own(size_t task) const {
  const auto found = std::ranges::find(experts, tasks[task]);
  return found == experts.end() ? -1 : static_cast<int>(found - experts.begin());
}

}  // namespace gaggle
