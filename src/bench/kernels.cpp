#include <cmath>

#include "bench/cases.h"
#include "kernel/attention.h"
#include "kernel/gated.h"
#include "kernel/norm.h"
#include "kernel/rotary.h"
#include "model/loss.h"
#include "model/rope.h"

namespace gaggle {
namespace {

constexpr int64_t routed_k = 2;

// The list that grows. What it adds is made of the subject, which all cases share.
struct KernelList {
  const SharedSubject& subject;
  std::vector<BenchCase> cases = {};
  const ModelSpec& spec() const { return subject->base.spec(); }
  double size() const { return subject->element(); }
  void add(const std::string& name, const std::vector<Work>& work, int64_t tokens, std::function<Runner()> make) {
    cases.push_back({"kernels", name, work, static_cast<double>(tokens), std::move(make)});
  }
};

at::Tensor rows_of(const BenchSubject& subject, int64_t tokens, int64_t width, uint64_t number) {
  return random_values({tokens, width}, subject.activations(), "bench rows", number, 1);
}

// What kernels read and write at one site.
struct SiteRows {
  SiteRows(const BenchSubject& subject, const Site& at)
      : site(at),
        x(rows_of(subject, subject.tokens(at), at.d_in, 0)),
        y(rows_of(subject, subject.tokens(at), at.d_out, 1)),
        dx(rows_of(subject, subject.tokens(at), at.d_in, 2)),
        dy(rows_of(subject, subject.tokens(at), at.d_out, 3)) {}
  Site site;
  at::Tensor x, y, dx, dy;
};

void add_linears(KernelList& list) {
  const int64_t tokens = list.subject->batch.token_count();
  for (const LinearShape& shape : linear_shapes(list.subject->base)) {
    const auto weights = static_cast<double>(shape.d_in * shape.d_out);
    const auto values = static_cast<double>(tokens * (shape.d_in + shape.d_out));
    const Work work{2 * static_cast<double>(tokens) * weights, list.size() * (weights + values)};
    for (const bool forward : {true, false})
      list.add((forward ? "linear forward " : "linear dx ") + shape.text(), {work}, tokens, [=, s = list.subject] {
        const at::Tensor weight = random_values({shape.d_out, shape.d_in}, s->activations(), "bench W", 0, 0.02);
        const FrozenLinear linear(weight, {}, BaseUse::training);
        const at::Tensor x = rows_of(*s, tokens, forward ? shape.d_in : shape.d_out, 0);
        return forward ? Runner{[=] { linear.forward(x); }} : Runner{[=] { linear.dx(x); }};
      });
  }
}

// Products of a low-rank pair: forward B (A x); backward e = Bᵀ dy and dx += Aᵀ e, and h = A x, dA and dB.
Work pair_work(const BenchSubject& subject, const LoraSite& s, int64_t rank, bool forward) {
  const auto tokens = static_cast<double>(subject.tokens(s.site)), r = static_cast<double>(rank);
  const auto d_in = static_cast<double>(s.site.d_in), d_out = static_cast<double>(s.site.d_out);
  const double pair = r * (d_in + d_out), size = subject.element();
  if (forward) return {2 * tokens * pair, size * (pair + tokens * (d_in + 2 * d_out))};
  return {2 * tokens * r * (3 * d_in + 2 * d_out), size * (pair + tokens * (3 * d_in + d_out)) + 8 * pair};
}

// One layer's sites, as a step passes over them.
Runner adapter_pass(const BenchSubject& subject, const std::string& kind, const Microbatch& batch, bool forward) {
  const std::shared_ptr<Trainable> adapter = training_adapter(subject, kind, subject.layer);
  std::vector<SiteRows> rows;
  for (const LoraSite& s : subject.layer) rows.emplace_back(subject, s.site);
  adapter->set_gradients(at::zeros_like(adapter->values()));
  adapter->begin_step(0);
  return {[=, &batch]() mutable {
    adapter->begin(batch);
    for (SiteRows& at : rows) {
      if (forward) adapter->forward(at.site, at.x, at.y);
      if (!forward) adapter->backward(at.site, at.x, at.dy, at.dx);
    }
    if (!forward) adapter->finish_gradients();
  }};
}

void add_adapters(KernelList& list) {
  for (const std::string kind : {"expert", "gate", "poly", "mhr"}) {
    const bool skills = kind == "poly" || kind == "mhr";
    const Microbatch& batch = skills ? list.subject->mixed_batch : list.subject->batch;
    for (const bool forward : {true, false}) {
      std::vector<Work> work;
      for (const LoraSite& s : list.subject->layer)
        work.push_back(pair_work(*list.subject, s, skills ? list.subject->config.poly.rank : s.rank, forward));
      list.add(kind + (forward ? " forward" : " backward"), work, batch.token_count(),
               [=, &batch, s = list.subject] { return adapter_pass(*s, kind, batch, forward); });
    }
  }
}

// A site with its rows and what was chosen for them.
struct RoutedRows {
  RoutedSite experts;
  SiteRows rows;
  TokenRouting chosen;
};

std::vector<RoutedRows> routed_rows(const BenchSubject& subject, int64_t n) {
  RoutedCollection collection = random_collection(subject, subject.layer, n);
  std::vector<int> all;
  for (int z = 0; z < n; ++z) all.push_back(z);
  std::vector<RoutedRows> sites;
  for (const LoraSite& s : subject.layer) {
    RoutedSite& experts = collection.sites[static_cast<size_t>(s.site.index)];
    std::vector<at::Tensor> directions;
    for (const at::Tensor& gate : collection.gates[static_cast<size_t>(s.site.index)])
      directions.push_back(standardise(gate));
    set_candidates(experts, all, directions);
    const SiteRows rows(subject, s.site);
    sites.push_back({experts, rows, route(rows.x, experts, Scoring::phatgoose, routed_k)});
  }
  return sites;
}

void add_routing(KernelList& list, int64_t n) {
  std::vector<Work> scores, pairs;
  for (const LoraSite& s : list.subject->layer) {
    scores.push_back(score_work(*list.subject, s.site, n));
    pairs.push_back(pairs_work(*list.subject, s, n, routed_k));
  }
  const int64_t tokens = list.subject->batch.token_count();
  list.add(fmt::format("routing scores N={}", n), scores, tokens, [n, s = list.subject] {
    return Runner{[sites = routed_rows(*s, n)] {
      for (const RoutedRows& at : sites) route(at.rows.x, at.experts, Scoring::phatgoose, routed_k);
    }};
  });
  list.add(fmt::format("routing experts N={}", n), pairs, tokens, [n, s = list.subject] {
    return Runner{[sites = routed_rows(*s, n)]() mutable {
      for (RoutedRows& at : sites) add_routed(at.rows.x, at.rows.y, at.experts, at.chosen);
    }};
  });
}

// Causal, or where there is an encoder, the encoder's.
void add_attention(KernelList& list, const std::string& name, const Microbatch& batch) {
  const ModelSpec& spec = list.spec();
  const HeadShape shape{spec.heads, spec.kv_heads > 0 ? spec.kv_heads : spec.heads, spec.head_dim,
                        1 / std::sqrt(static_cast<double>(spec.head_dim))};
  const bool causal = !spec.encoder_decoder();
  const TokenSequences& rows = causal ? batch.decoder : batch.encoder;
  double seen = 0;  // keys, summed over queries
  for (size_t s = 0; s + 1 < rows.starts.size(); ++s) {
    const auto length = static_cast<double>(rows.starts[s + 1] - rows.starts[s]);
    seen += length * (causal ? (length + 1) / 2 : length);
  }
  const int64_t tokens = rows.count(), width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
  const Work work{4 * seen * static_cast<double>(width),
                  2 * list.size() * static_cast<double>(tokens * (width + kv_width))};
  list.add(name, {work}, tokens, [=, &batch, s = list.subject] {
    const at::Tensor q = rows_of(*s, tokens, width, 0), k = rows_of(*s, tokens, kv_width, 1),
                     v = rows_of(*s, tokens, kv_width, 2);
    const at::Device device = s->base.device();
    const AttentionPlan plan =
        causal ? plan_attention(batch, 0, 0, shape, device) : plan_encoder_attention(batch.encoder, shape, device);
    return Runner{[=] { attention(q, k, v, plan, shape); }};
  });
}

// With its cross-entropy, as scoring and as training run it.
void add_head(KernelList& list) {
  const int64_t vocab = list.spec().vocab, hidden = list.spec().hidden;
  const ScoredTokens targets = join_targets(list.subject->batch);
  const auto rows = static_cast<int64_t>(targets.tokens.size());
  const auto weights = static_cast<double>(vocab * hidden);
  const Work once{2 * static_cast<double>(rows) * weights, list.size() * weights};
  const auto make = [=, s = list.subject](bool training) {
    const at::Tensor weight = random_values({vocab, hidden}, s->activations(), "bench head", 0, 0.02);
    const FrozenLinear head(weight, {}, training ? BaseUse::training : BaseUse::inference);
    const at::Tensor x = rows_of(*s, rows, hidden, 0);
    if (!training) return Runner{[=] { head_nll(head, x, targets, s->batch); }};
    return Runner{[=, dx = at::zeros_like(x)]() mutable { head_backward(head, x, targets, s->batch, {}, dx); }};
  };
  list.add("head", {once}, rows, [make] { return make(false); });
  list.add("head and its gradient", {once, once}, rows, [make] { return make(true); });
}

void add_norms(KernelList& list) {
  const int64_t tokens = list.subject->batch.token_count(), width = list.spec().hidden;
  const double eps = list.spec().norm_eps, values = static_cast<double>(tokens * width);
  const auto stream = [=, s = list.subject] { return rows_of(*s, tokens, width, 0).to(at::kFloat); };
  list.add("norm forward", {{0, (4 + list.size()) * values}}, tokens, [=, s = list.subject] {
    return Runner{[=, x = stream(), weight = at::ones({width}, s->activations().dtype(at::kFloat))] {
      rms_norm(x, weight, eps, s->base.dtype());
    }};
  });
  list.add("norm backward", {{0, (12 + 2 * list.size()) * values}}, tokens, [=, s = list.subject] {
    const at::Tensor x = stream(), weight = at::ones({width}, x.options());
    return Runner{[=, dy = rows_of(*s, tokens, width, 1), dx = at::zeros_like(x)]() mutable {
      rms_norm_backward(x, dy, weight, eps, dx);
    }};
  });
}

void add_elementwise(KernelList& list) {
  const ModelSpec& spec = list.spec();
  const int64_t tokens = list.subject->batch.token_count(), width = spec.heads * spec.head_dim;
  if (!spec.encoder_decoder())
    list.add("rotary", {{0, 2 * list.size() * static_cast<double>(tokens * width)}}, tokens, [=, s = list.subject] {
      at::Tensor x = rows_of(*s, tokens, width, 0);
      const RotaryRun run{rope_frequencies(s->base.spec(), tokens), 0, tokens};
      const RotaryTable table = rotary_table({run}, s->base.dtype(), x.device());
      const at::Tensor turns = at::arange(tokens, x.options().dtype(at::kInt));
      return Runner{[=]() mutable { rotary_(x, turns, table, false); }};
    });
  if (!spec.gated) return;
  const double bytes = list.size() * static_cast<double>(tokens * spec.intermediate);
  const auto drawn = [=, n = spec.intermediate, s = list.subject](uint64_t i) { return rows_of(*s, tokens, n, i); };
  const Activation activation = spec.activation;
  list.add("gated activation", {{0, 3 * bytes}}, tokens,
           [=] { return Runner{[=, gate = drawn(0), up = drawn(1)] { gated(activation, gate, up); }}; });
  list.add("gated activation backward", {{0, 5 * bytes}}, tokens, [=] {
    const at::Tensor gate = drawn(0), up = drawn(1), dy = drawn(2);
    at::Tensor d_gate = gate.clone(), d_up = up.clone();
    return Runner{[=]() mutable { gated_backward_(activation, d_gate, d_up, dy); },
                  [=] { d_gate.copy_(gate), d_up.copy_(up); }};
  });
}

}  // namespace

std::vector<BenchCase> kernel_cases(const SharedSubject& subject, const std::vector<int64_t>& experts) {
  KernelList list{subject};
  add_linears(list);
  add_adapters(list);
  for (const int64_t n : experts) add_routing(list, n);
  add_attention(list, "attention", subject->batch);
  add_attention(list, "attention of one long row", subject->long_row);
  add_head(list);
  add_norms(list);
  add_elementwise(list);
  return std::move(list.cases);
}

}  // namespace gaggle
