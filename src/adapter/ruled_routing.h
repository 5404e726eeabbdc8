// Routing by a rule: what experts are chosen for (a token or a whole sequence), where the choice holds (a linear, a layer,
// the model), and what becomes of the scores on their way to weights. With the plain rule it is what make_phatgoose and
// make_arrow do.
#pragma once

#include <functional>

#include "adapter/routed.h"
#include "adapter/site_scores.h"

namespace gaggle {

enum class RoutingScope { site, layer, model };

struct RoutingRule {
  int64_t top_k = 2;         // 0: dense
  double temperature = 1;    // of the softmax
  bool by_sequence = false;  // scores are means over the prompt's tokens; else every token's own
  RoutingScope scope =
      RoutingScope::site;  // wider: means over its sites in a pass of the base alone before the real one
  double general = 0;      // λ: λ times the mean of all experts is taken from each (GenKnowSub, arXiv 2505.10939)
  bool abstain = false;    // weights times the expert's own σ(v·x + b), 1 where it has no gate
};

// Affine per candidate: (score - offset) · factor.
struct Calibration {
  at::Tensor offset, factor;  // [N] fp32 by expert number; undefined: 0 and 1
};

// The likeness of a query and the experts, added to scores: `weight` times the largest cosine of the query's vector and an
// expert's.
struct QueryLikeness {
  double weight = 0;  // 0: none
  std::vector<at::Tensor>
      rows;  // [N] of each expert [n, d] fp32 of length 1; undefined: it has none, and the cosine is 0
  // Vectors of queries by their text's number (adapter/text_number.h), [d]; empty: the mean of the base's last states over
  // the prompt's tokens (of what an encoder reads, where there is one). Throws UserError for a text it does not know.
  std::function<at::Tensor(uint64_t text)> query = {};
};

struct RuledRouting {
  RoutingRule rule;
  std::vector<RoutedSite> sites = {};         // of the base, with candidates; all pairs are there
  std::unique_ptr<SiteScores> scores = {};    // null: all 0
  std::vector<Calibration> calibration = {};  // [sites]; empty: none
  QueryLikeness likeness = {};
  std::vector<std::vector<at::Tensor>> gates = {};  // [sites][N] raw, of abstain
  std::vector<double> gate_bias = {};               // [N], of abstain; empty: 0
  std::vector<LowRank> general = {};                // [sites] the mean of all experts, where the rule takes it away
};

// `base`: what the passes ahead are made over; not null where scope is wider than a site, or queries are the base's states.
std::unique_ptr<RoutedAdapter> make_ruled(RuledRouting routing, const RoutedCollection& collection, BaseModel* base);

// The mean of the last states over each new sequence's prompt in a pass of the base alone, [sequences, d] fp32; where there
// is an encoder, of its last states over what each decoder's sequence reads.
at::Tensor mean_states(BaseModel& base, const Microbatch& batch);

}  // namespace gaggle
