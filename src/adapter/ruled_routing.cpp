#include "adapter/ruled_routing.h"

#include <algorithm>
#include <map>

#include "adapter/pass_sequences.h"
#include "adapter/text_number.h"
#include "base/error.h"
#include "kernel/upload.h"

namespace gaggle {
namespace {

// What is asked of a pass of the base alone: x of every site, and what the encoder gives out.
class Ahead : public SiteAdapter {
 public:
  explicit Ahead(const std::vector<Site>& sites) {
    for (const Site& site : sites)
      if (site.side == Side::encoder)
        last_encoder_site_ = site.index;  // a decoder's k or v, which reads the last states
  }
  virtual void at_site(const Site&, const at::Tensor&) {}
  void begin(const Microbatch&) override {}
  void forward(const Site& site, const at::Tensor& x, at::Tensor&) override {
    if (site.index == last_encoder_site_) encoded_ = x;
    at_site(site, x);
  }
  void backward(const Site&, const at::Tensor&, const at::Tensor&, at::Tensor&) override {
    GAGGLE_CHECK(false, "a pass ahead is forward alone");
  }
  // [T, d] of what the query is read by.
  const at::Tensor& states(const at::Tensor& last) const { return encoded_.defined() ? encoded_ : last; }

 private:
  int last_encoder_site_ = -1;
  at::Tensor encoded_;
};

// Rows of the encoder's sequences for those of the decoder that begin, which read them; of a decoder alone its own.
at::Tensor for_decoder(const at::Tensor& rows, const Microbatch& batch) {
  return batch.encoder.count() > 0 ? rows.index_select(0, to_device(batch.sources, rows.device())) : rows;
}

class RuledAdapter : public TokenAdapter {
 public:
  RuledAdapter(RuledRouting routing, const RoutedCollection& collection, BaseModel* base)
      : TokenAdapter(routing.sites, collection), how_(std::move(routing)), base_(base) {
    GAGGLE_CHECK(base_ || !looks_ahead(), "a pass ahead needs a base");
    const auto experts = static_cast<int64_t>(collection.names.size());
    for (const RoutedSite& site : how_.sites) {
      std::vector<int64_t> place(collection.names.size(), 0);
      for (size_t c = 0; c < site.candidates.size(); ++c)
        place[static_cast<size_t>(site.candidates[c])] = static_cast<int64_t>(c);
      place_.push_back(site.candidates.empty() ? at::Tensor() : to_device(place, site.candidate_ids.device()));
    }
    experts_ = experts;
  }

  void begin(const Microbatch& batch) override {
    if (batch.past.empty()) {
      of_site_.clear();
      of_group_.clear();
      likeness_ = {};
      cache_ = {};
    }
    for (const Side side : sides)
      sequences_[side].begin(batch.side(side), side == Side::decoder ? batch.past : no_past_);
    const bool begins = !sequences_.decoder.prompts().empty();
    if (how_.likeness.query && begins) add_known_queries(batch);
    // A sequence's choice stands once it is made; a token's is its own.
    if (looks_ahead() && (begins || !how_.rule.by_sequence)) look_ahead(batch);
  }

  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override {
    total_.reset();
    TokenAdapter::forward(site, x, y);
    if (how_.general.empty() || !total_.defined()) return;
    const LowRank& mean = how_.general[static_cast<size_t>(site.index)];
    const at::Tensor h = at::matmul(x, mean.a.t()).to(at::kFloat);
    y.addmm_(h.mul(total_).mul_(-how_.rule.general * mean.scale).to(y.scalar_type()), mean.b.t());
  }

 private:
  bool wide() const { return how_.rule.scope != RoutingScope::site; }
  bool looks_ahead() const { return wide() || (how_.likeness.weight != 0 && !how_.likeness.query); }

  // Sites of a group share a choice. What an encoder reads and a decoder's tokens are chosen for apart, but for a whole
  // sequence in the whole model: that goes by what the encoder reads.
  int group_of(const Site& site) const {
    const bool apart = site.side == Side::encoder;
    if (how_.rule.scope == RoutingScope::layer) return 2 * site.layer + (apart ? 1 : 0);
    return apart ? 1 : 0;
  }

  at::Tensor calibrated(const Site& site, const RoutedSite& experts, const at::Tensor& x) const {
    if (!how_.scores) return at::zeros({x.size(0), experts.candidate_ids.size(0)}, x.options().dtype(at::kFloat));
    at::Tensor scores = how_.scores->of(site, experts, x);
    if (how_.calibration.empty()) return scores;
    const Calibration& by = how_.calibration[static_cast<size_t>(site.index)];
    if (by.offset.defined()) scores = scores - by.offset.index_select(0, experts.candidate_ids);
    if (by.factor.defined()) scores = scores * by.factor.index_select(0, experts.candidate_ids);
    return scores;
  }

  TokenRouting choose(const Site& site, const RoutedSite& experts, const at::Tensor& x) override {
    const PassSequences& sequences = sequences_[site.side];
    at::Tensor scores =
        wide() ? of_group_.at(group_of(site)).index_select(1, experts.candidate_ids) : scores_at(site, experts, x);
    const at::Tensor sequence_of = sequences.of_token(x.device());
    if (how_.likeness.weight != 0) {
      const at::Tensor added = likeness_[site.side].index_select(1, experts.candidate_ids);
      scores = scores + (how_.rule.by_sequence ? added : added.index_select(0, sequence_of));
    }
    TokenRouting routed = best_of(scores, experts.candidate_ids, how_.rule.top_k, how_.rule.temperature);
    if (how_.rule.by_sequence)
      routed = {routed.experts.index_select(0, sequence_of), routed.weights.index_select(0, sequence_of)};
    if (how_.rule.abstain) routed.weights = routed.weights * willing(site, experts, x, routed);
    total_ = routed.weights.sum(1, true);
    return routed;
  }

  // At one site: [T, C], or, of sequences, [sequences so far, C].
  at::Tensor scores_at(const Site& site, const RoutedSite& experts, const at::Tensor& x) {
    at::Tensor scores = calibrated(site, experts, x);
    if (!how_.rule.by_sequence) return scores;
    at::Tensor& known = of_site_[site.index];
    const at::Tensor means = sequences_[site.side].prompt_means(scores);
    known = known.defined() ? at::cat({known, means}) : means;
    return known;
  }

  // σ(v·x + b) of the chosen experts, [T, k].
  at::Tensor willing(const Site& site, const RoutedSite& experts, const at::Tensor& x,
                     const TokenRouting& routed) const {
    const auto index = static_cast<size_t>(site.index);
    std::vector<at::Tensor> rows;
    std::vector<float> bias;
    for (const int z : experts.candidates) {
      const at::Tensor& gate = how_.gates[index][static_cast<size_t>(z)];
      // No gate: the logit is infinite, and the factor 1.
      rows.push_back(gate.defined() ? gate.to(x.device(), at::kFloat)
                                    : at::zeros({x.size(1)}, x.options().dtype(at::kFloat)));
      bias.push_back(!gate.defined()          ? std::numeric_limits<float>::infinity()
                     : how_.gate_bias.empty() ? 0.0F
                                              : static_cast<float>(how_.gate_bias[static_cast<size_t>(z)]));
    }
    const at::Tensor logits = at::matmul(x.to(at::kFloat), at::stack(rows).t()) + to_device(bias, x.device());
    const at::Tensor places = place_[index].index_select(0, routed.experts.flatten()).view(routed.experts.sizes());
    return logits.sigmoid().gather(1, places);
  }

  // Sums of scores over the sites of each group, and how many sites had a score for each expert.
  class GroupSums : public Ahead {
   public:
    explicit GroupSums(RuledAdapter& of) : Ahead(of.base_->sites()), of_(of) {}
    void at_site(const Site& site, const at::Tensor& x) override {
      const RoutedSite& experts = of_.how_.sites[static_cast<size_t>(site.index)];
      if (!of_.wide() || experts.candidates.empty() || x.size(0) == 0) return;
      at::Tensor scores = of_.calibrated(site, experts, x);
      if (of_.how_.rule.by_sequence) scores = of_.sequences_[site.side].prompt_means(scores);
      auto& [sums, counts] = groups_[of_.group_of(site)];
      if (!sums.defined()) {
        sums = at::zeros({scores.size(0), of_.experts_}, scores.options());
        counts = at::zeros({of_.experts_}, scores.options());
      }
      sums.index_add_(1, experts.candidate_ids, scores);
      counts.index_add_(0, experts.candidate_ids, at::ones({scores.size(1)}, scores.options()));
    }
    std::map<int, at::Tensor> means() const {
      std::map<int, at::Tensor> means;
      for (const auto& [group, of] : groups_) means[group] = of.first / of.second.clamp_min(1);
      return means;
    }

   private:
    RuledAdapter& of_;
    std::map<int, std::pair<at::Tensor, at::Tensor>> groups_;
  };

  void look_ahead(const Microbatch& batch) {
    GroupSums seen(*this);
    const at::Tensor last = base_->forward(batch, &seen, &cache_);
    const bool encodes = batch.encoder.count() > 0;
    for (auto& [group, means] : seen.means()) {
      if (!how_.rule.by_sequence) {
        of_group_[group] = means;
        continue;
      }
      at::Tensor& known = of_group_[group];
      known = known.defined() ? at::cat({known, means}) : means;
    }
    if (encodes && how_.rule.by_sequence && how_.rule.scope == RoutingScope::model)
      of_group_[0] = for_decoder(of_group_.at(1), batch);
    if (how_.likeness.weight != 0 && !how_.likeness.query && !sequences_.decoder.prompts().empty()) {
      const Side side = encodes ? Side::encoder : Side::decoder;
      add_likeness(sequences_[side].prompt_means(seen.states(last).to(at::kFloat)), batch);
    }
  }

  // Of queries [new sequences, d] of the encoder, or of the decoder where it is alone.
  void add_likeness(const at::Tensor& queries, const Microbatch& batch) {
    const at::Tensor unit = queries / queries.norm(2, {1}, true).clamp_min(1e-12);
    std::vector<at::Tensor> cosines;
    for (const at::Tensor& rows : how_.likeness.rows)
      cosines.push_back(rows.defined() ? at::matmul(unit, rows.to(unit.device()).t()).amax(1)
                                       : at::zeros({unit.size(0)}, unit.options()));
    const at::Tensor all = at::stack(cosines, 1).mul_(how_.likeness.weight);  // [new, N]
    if (batch.encoder.count() > 0) likeness_.encoder = all;
    const at::Tensor mine = for_decoder(all, batch);
    likeness_.decoder = likeness_.decoder.defined() ? at::cat({likeness_.decoder, mine}) : mine;
  }

  void add_known_queries(const Microbatch& batch) {
    const bool encodes = batch.encoder.count() > 0;
    const PassSequences& asked = encodes ? sequences_.encoder : sequences_.decoder;
    const std::span<const int32_t> ids = encodes ? batch.encoder.ids : batch.decoder.ids;
    std::vector<at::Tensor> queries;
    for (const PassSequences::Prompt& prompt : asked.prompts())
      queries.push_back(how_.likeness.query(
          text_number(ids.subspan(static_cast<size_t>(prompt.begin), static_cast<size_t>(prompt.tokens)))));
    add_likeness(at::stack(queries).to(at::kFloat), batch);
  }

  RuledRouting how_;
  BaseModel* base_;
  int64_t experts_ = 0;
  std::vector<at::Tensor> place_;  // [sites] of [N]: where an expert stands among the candidates
  const std::vector<std::vector<int64_t>> no_past_;
  BySide<PassSequences> sequences_;
  KeyValueCache cache_;                 // of the passes ahead
  std::map<int, at::Tensor> of_site_;   // [sequences, C], of choices for sequences at each site
  std::map<int, at::Tensor> of_group_;  // [sequences or T, N]
  BySide<at::Tensor> likeness_;         // [sequences, N]
  at::Tensor total_;                    // [T, 1] of the site's routing
};

}  // namespace

std::unique_ptr<RoutedAdapter> make_ruled(RuledRouting routing, const RoutedCollection& collection, BaseModel* base) {
  return std::make_unique<RuledAdapter>(std::move(routing), collection, base);
}

at::Tensor mean_states(BaseModel& base, const Microbatch& batch) {
  Ahead ahead(base.sites());
  PassSequences sequences;
  sequences.begin(batch.encoder.count() > 0 ? batch.encoder : batch.decoder, {});
  const at::Tensor last = base.forward(batch, &ahead, nullptr);
  return for_decoder(sequences.prompt_means(ahead.states(last).to(at::kFloat)), batch);
}

}  // namespace gaggle
