#include "eval/prepare.h"

#include "base/error.h"
#include "data/sampler.h"
#include "eval/score.h"

namespace gaggle {
namespace {

// Sequences of x [T, d] → the sum of their means, [d] fp64.
at::Tensor sum_of_means(const at::Tensor& x, const TokenSequences& tokens) {
  at::Tensor sum = at::zeros({x.size(1)}, x.options().dtype(at::kDouble));
  for (size_t s = 0; s + 1 < tokens.starts.size(); ++s)
    sum += x.narrow(0, tokens.starts[s], tokens.starts[s + 1] - tokens.starts[s]).to(at::kDouble).mean(0);
  return sum;
}

// An expert alone, and what its sites read.
class InputMeans : public SiteAdapter {
 public:
  InputMeans(const RoutedCollection& collection, int expert)
      : expert_(make_single(collection, expert)), sums_(collection.sites.size()) {
    for (const RoutedSite& site : collection.sites)
      adapted_.push_back(site.experts[static_cast<size_t>(expert)].a.defined());
  }
  void begin(const Microbatch& batch) override {
    batch_ = &batch;
    expert_->begin(batch);
  }
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override {
    const auto index = static_cast<size_t>(site.index);
    if (adapted_[index]) {
      const at::Tensor sum = sum_of_means(x, batch_->side(site.side));
      sums_[index] = sums_[index].defined() ? sums_[index] + sum : sum;
    }
    expert_->forward(site, x, y);
  }
  void backward(const Site&, const at::Tensor&, const at::Tensor&, at::Tensor&) override {}
  std::vector<at::Tensor> means(size_t examples) const {
    std::vector<at::Tensor> means;
    for (const at::Tensor& sum : sums_)
      means.push_back(sum.defined() ? (sum / static_cast<double>(examples)).to(at::kCPU, at::kFloat) : at::Tensor());
    return means;
  }

 private:
  std::unique_ptr<RoutedAdapter> expert_;
  std::vector<char> adapted_;
  std::vector<at::Tensor> sums_;
  const Microbatch* batch_ = nullptr;
};

// Nothing is added, every site's scores are.
class ScoreSumsOfSites : public SiteAdapter {
 public:
  ScoreSumsOfSites(ScoredSites scored, size_t experts) : scored_(std::move(scored)) {
    const at::Tensor zeros = at::zeros({static_cast<int64_t>(experts)}, at::kDouble);
    for (size_t s = 0; s < scored_.sites.size(); ++s) sums_.push_back({zeros.clone(), zeros.clone(), 0});
  }
  void begin(const Microbatch&) override {}
  void forward(const Site& site, const at::Tensor& x, at::Tensor&) override {
    const auto index = static_cast<size_t>(site.index);
    const RoutedSite& experts = scored_.sites[index];
    if (experts.candidates.empty() || x.size(0) == 0) return;
    const at::Tensor scores = scored_.scores->of(site, experts, x).to(at::kCPU, at::kDouble);
    const at::Tensor ids = experts.candidate_ids.cpu();
    sums_[index].sums.index_add_(0, ids, scores.sum(0));
    sums_[index].squares.index_add_(0, ids, scores.square().sum(0));
    sums_[index].tokens += static_cast<double>(x.size(0));
  }
  void backward(const Site&, const at::Tensor&, const at::Tensor&, at::Tensor&) override {}
  const std::vector<ScoreSums>& sums() const { return sums_; }

 private:
  ScoredSites scored_;
  std::vector<ScoreSums> sums_;
};

// run(batch) for all examples, input and target, in micro-batches as in training.
void over_examples(const PreparePasses& passes, SiteAdapter& adapter) {
  std::vector<Sample> samples;
  for (const TokenExample& example : passes.examples)
    samples.push_back({static_cast<int64_t>(samples.size()), 0, &example});
  const std::vector<float> weights(samples.size(), 0);
  for (const Microbatch& batch : make_microbatches(samples, passes.token_budget, weights)) {
    if (passes.between) passes.between();
    passes.base.forward(batch, &adapter, nullptr);
  }
}

}  // namespace

std::vector<at::Tensor> mean_inputs(const PreparePasses& passes, const RoutedCollection& collection, int expert) {
  InputMeans means(collection, expert);
  over_examples(passes, means);
  return means.means(passes.examples.size());
}

std::vector<ScoreSums> score_sums(const PreparePasses& passes, const Method& method, const RoutedCollection& collection,
                                  const PreparedExperts& prepared) {
  ScoreSumsOfSites sums(scored_sites(method, collection, prepared), collection.names.size());
  over_examples(passes, sums);
  return sums.sums();
}

TargetNll nll_of_targets(const PreparePasses& passes, SiteAdapter& adapter) {
  std::vector<Question> questions;
  for (const TokenExample& example : passes.examples)
    questions.push_back({example.source, example.input, {example.target}});
  TargetNll all;
  for (const auto& of_question :
       score_continuations(passes.base, &adapter, questions, passes.token_budget, passes.between)) {
    all.nll += of_question[0].nll;
    all.tokens += of_question[0].tokens;
  }
  return all;
}

double nll_per_token(const PreparePasses& passes, SiteAdapter& adapter) {
  const TargetNll all = nll_of_targets(passes, adapter);
  return all.nll / static_cast<double>(all.tokens);
}

at::Tensor prompt_states(const PreparePasses& passes) {
  std::vector<int64_t> lengths;
  for (const TokenExample& example : passes.examples)
    lengths.push_back(static_cast<int64_t>(example.source.size() + example.input.size()));
  std::vector<at::Tensor> states(lengths.size());
  for (const std::vector<size_t>& rows : batches_by_length(lengths, passes.token_budget)) {
    if (passes.between) passes.between();
    Microbatch batch;
    for (const size_t i : rows) {
      append_sequence(batch.decoder, passes.examples[i].input);
      if (passes.examples[i].source.empty()) continue;
      append_sequence(batch.encoder, passes.examples[i].source);
      batch.sources.push_back(batch.encoder.sequences() - 1);
    }
    cover_with_one_segment(batch);
    const at::Tensor means = mean_states(passes.base, batch).cpu();
    for (size_t i = 0; i < rows.size(); ++i) states[rows[i]] = means[static_cast<int64_t>(i)];
  }
  const at::Tensor all = at::stack(states);
  return all / all.norm(2, {1}, true).clamp_min(1e-12);
}

}  // namespace gaggle
