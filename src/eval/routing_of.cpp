#include "eval/routing_of.h"

#include <algorithm>

#include "base/error.h"
#include "eval/method.h"

namespace gaggle {
namespace {

// As many as LAG ranks again.
constexpr int64_t ranked_again = 20;

bool is_plain(const EvalConfig& eval) {
  return eval.temperature == 1 && eval.granularity == "token" && eval.scope == "site" && eval.calibrate == "none" &&
         eval.prior == 0 && eval.general == 0 && !eval.abstain;
}

Scoring scoring_of(const Method& method) {
  if (method.kind == MethodKind::phatgoose || method.kind == MethodKind::average) return Scoring::phatgoose;
  return method.eval.arrow == "phatgoose" ? Scoring::arrow_phatgoose : Scoring::arrow_mttl;
}

RoutingRule rule_of(const Method& method) {
  const EvalConfig& eval = method.eval;
  if (method.kind == MethodKind::retrieval)  // the query as a whole names the experts
    return {.top_k = eval.top_k,
            .temperature = eval.temperature,
            .by_sequence = true,
            .general = eval.general,
            .abstain = eval.abstain};
  return {.top_k = eval.top_k,
          .temperature = eval.temperature,
          .by_sequence = eval.granularity == "sequence",
          .scope = eval.scope == "layer"   ? RoutingScope::layer
                   : eval.scope == "model" ? RoutingScope::model
                                           : RoutingScope::site,
          .general = eval.general,
          .abstain = eval.abstain};
}

// scale·B A - λ·(the mean) as one pair.
LowRank residual(const LowRank& pair, const LowRank& mean, double general) {
  if (general == 0) return pair;
  return {at::cat({pair.a, mean.a}), at::cat({pair.b * pair.scale, mean.b * (-general * mean.scale)}, 1), 1, {}};
}

// Empty: none is taken from the experts.
std::vector<LowRank> mean_of(const Method& method, const RoutedCollection& collection) {
  return method.eval.general == 0 ? std::vector<LowRank>{} : mean_pairs(collection);
}

// The sites with the experts as they are scored, and who takes part by which direction.
std::vector<RoutedSite> sites_to_score(const Method& method, const RoutedCollection& collection,
                                       const PreparedExperts& prepared, const std::vector<LowRank>& mean) {
  const bool by_gate = method.kind == MethodKind::phatgoose, by_average = method.kind == MethodKind::average;
  const bool by_arrow = method.kind == MethodKind::arrow || method.kind == MethodKind::arrow_spectr;
  std::vector<RoutedSite> sites = collection.sites;
  for (size_t s = 0; s < sites.size(); ++s) {
    std::vector<int> candidates;
    std::vector<at::Tensor> directions;
    for (size_t z = 0; z < sites[s].experts.size(); ++z) {
      LowRank& pair = sites[s].experts[z];
      if (!pair.a.defined()) continue;
      if (!mean.empty()) pair = residual(pair, mean[s], method.eval.general);
      if (by_gate || by_average) {
        const at::Tensor& v = by_gate ? collection.gates[s][z] : prepared.averages[s][z];
        if (!v.defined()) continue;
        directions.push_back(standardise(v.to(at::kFloat)));
      } else if (by_arrow) {
        directions.push_back(arrow_direction(pair.a, pair.b));
      }
      candidates.push_back(static_cast<int>(z));
    }
    set_candidates(sites[s], std::move(candidates), directions);
  }
  return sites;
}

std::unique_ptr<SiteScores> scores_of(const Method& method, const std::vector<RoutedSite>& sites) {
  switch (method.kind) {
    case MethodKind::retrieval:
      return nullptr;
    case MethodKind::spectr:
      return scores_by_output(sites);
    case MethodKind::arrow_spectr:
      return scores_by_output_of_best(sites, scoring_of(method), ranked_again);
    default:
      return scores_by_direction(scoring_of(method));
  }
}

std::vector<Calibration> norms_of(const std::vector<RoutedSite>& sites, size_t experts) {
  std::vector<Calibration> all;
  for (const RoutedSite& site : sites) {
    std::vector<float> factors(experts, 1);
    for (const int z : site.candidates) {
      const double norm = update_norm(site.experts[static_cast<size_t>(z)]);
      // An expert that adds nothing has no direction to be compared by: it keeps its scores, which are 0 by its output.
      if (norm > 0) factors[static_cast<size_t>(z)] = static_cast<float>(1 / norm);
    }
    const at::Device device = site.candidates.empty() ? at::kCPU : site.candidate_ids.device();
    all.push_back({{}, at::tensor(factors, at::kFloat).to(device)});
  }
  return all;
}

// The mean of each expert's vectors, of length 1 again.
std::vector<at::Tensor> mean_rows(const std::vector<at::Tensor>& states) {
  std::vector<at::Tensor> means;
  for (const at::Tensor& rows : states) {
    if (rows.defined()) {
      const at::Tensor mean = rows.mean(0, true);
      means.push_back(mean / mean.norm().clamp_min(1e-12));
    } else {
      means.emplace_back();
    }
  }
  return means;
}

}  // namespace

std::string scoring_name(const Method& method) {
  const std::string name = method.name.substr(0, method.name.find(' '));
  return method.kind == MethodKind::arrow || method.kind == MethodKind::arrow_spectr ? name + " " + method.eval.arrow
                                                                                     : name;
}

std::vector<std::string> needed_by(const Method& method) {
  std::vector<std::string> needed;
  if (method.kind == MethodKind::average) needed.push_back("average");
  if (method.kind == MethodKind::best) needed.push_back("best");
  const bool routed = is_routed(method.kind);
  if (method.kind == MethodKind::retrieval || (routed && method.eval.prior != 0)) needed.push_back("retrieval");
  if (routed && method.eval.calibrate == "stats") needed.push_back("stats " + scoring_name(method));
  return needed;
}

std::vector<std::string> settings_of_rule(const Method& method, const RoutedCollection& collection,
                                          const ScoredTask& task) {
  const EvalConfig &eval = method.eval, plain;
  std::vector<std::string> settings;
  const auto add = [&](const char* key, const auto& value, const auto& by_default) {
    if (value != by_default) settings.push_back(fmt::format("{}={}", key, value));
  };
  const std::vector<char> out = left_out(method.eval.leave_out, collection, task);
  for (size_t z = 0; z < out.size(); ++z)
    if (out[z]) settings.push_back("without=" + collection.names[z]);
  if (method.kind == MethodKind::random) return settings;
  add("temperature", eval.temperature, plain.temperature);
  add("general", eval.general, plain.general);
  add("abstain", eval.abstain, plain.abstain);
  if (method.kind == MethodKind::retrieval) return settings;
  add("granularity", eval.granularity, plain.granularity);
  add("scope", eval.scope, plain.scope);
  add("calibrate", eval.calibrate, plain.calibrate);
  add("prior", eval.prior, plain.prior);
  return settings;
}

bool needs_whole_collection(MethodKind kind, const EvalConfig& eval) {
  switch (kind) {
    case MethodKind::phatgoose:
    case MethodKind::arrow:
    case MethodKind::random:
      return !eval.leave_out.empty() || (kind != MethodKind::random && !is_plain(eval));
    case MethodKind::average:
    case MethodKind::spectr:
    case MethodKind::arrow_spectr:
    case MethodKind::retrieval:
      return true;
    default:
      return false;
  }
}

ScoredSites scored_sites(const Method& method, const RoutedCollection& collection, const PreparedExperts& prepared) {
  ScoredSites scored{sites_to_score(method, collection, prepared, mean_of(method, collection)), nullptr};
  scored.scores = scores_of(method, scored.sites);
  return scored;
}

std::unique_ptr<RoutedAdapter> make_routing(const Method& method, const RoutedCollection& all,
                                            const PreparedExperts& prepared, BaseModel& base, const ScoredTask& task) {
  const EvalConfig& eval = method.eval;
  const std::vector<char> out = left_out(method.eval.leave_out, all, task);
  const RoutedCollection collection = std::ranges::count(out, 1) > 0 ? without(all, out) : all;
  if (is_plain(eval)) {
    if (method.kind == MethodKind::phatgoose) return make_phatgoose(collection, eval.top_k);
    if (method.kind == MethodKind::arrow) return make_arrow(collection, scoring_of(method), eval.top_k);
  }
  RuledRouting routing{.rule = rule_of(method)};
  routing.general = mean_of(method, collection);
  auto [scored, scores] = scored_sites(method, collection, prepared);
  routing.scores = std::move(scores);
  if (eval.calibrate == "norm") routing.calibration = norms_of(scored, collection.names.size());
  if (eval.calibrate == "stats") routing.calibration = prepared.statistics.at(scoring_name(method));
  if (method.kind == MethodKind::retrieval)
    routing.likeness = {1, prepared.states, prepared.query};
  else if (eval.prior > 0)
    routing.likeness = {eval.prior, mean_rows(prepared.states), prepared.query};
  for (size_t z = 0; z < out.size() && !routing.likeness.rows.empty(); ++z)
    if (out[z]) routing.likeness.rows[z].reset();
  routing.gates = collection.gates;
  routing.gate_bias = collection.gate_bias;
  // Who takes part stays; what is added is each expert as it is.
  for (size_t s = 0; s < scored.size(); ++s) scored[s].experts = collection.sites[s].experts;
  routing.sites = std::move(scored);
  return make_ruled(std::move(routing), collection, &base);
}

}  // namespace gaggle
