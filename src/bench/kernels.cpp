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

void add_linears(CaseList& list) {
  const int64_t tokens = list.subject->batch.token_count();
  for (const LinearShape& shape : linear_shapes(list.subject->base)) {
    const auto weights = static_cast<double>(shape.d_in * shape.d_out);
    const auto values = static_cast<double>(tokens * (shape.d_in + shape.d_out));
    const BenchWork work{2 * static_cast<double>(tokens) * weights, list.subject->element() * (weights + values)};
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
BenchWork pair_work(const BenchSubject& subject, const LoraSite& s, int64_t rank, bool forward) {
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

void add_adapters(CaseList& list) {
  for (const std::string kind : training_kinds) {
    const bool skills = mixes_skills(kind);
    const Microbatch& batch = skills ? list.subject->mixed_batch : list.subject->batch;
    for (const bool forward : {true, false}) {
      std::vector<BenchWork> work;
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

void add_routing(CaseList& list, int64_t n) {
  std::vector<BenchWork> scores, pairs;
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
void add_attention(CaseList& list, const std::string& which, const Microbatch& batch) {
  const ModelSpec& spec = list.subject->base.spec();
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
  const auto bytes = [&](int64_t widths) { return list.subject->element() * static_cast<double>(tokens * widths); };
  const double product = 2 * seen * static_cast<double>(width);
  const auto make = [=, &batch, s = list.subject](bool forward) {
    const at::Tensor q = rows_of(*s, tokens, width, 0), k = rows_of(*s, tokens, kv_width, 1),
                     v = rows_of(*s, tokens, kv_width, 2), dy = rows_of(*s, tokens, width, 3);
    const AttentionPlan plan = causal ? plan_attention(batch, 0, 0, shape, s->activations())
                                      : plan_encoder_attention(batch.encoder, shape, s->activations());
    if (forward) return Runner{[=] { attention(q, k, v, plan, shape); }};
    const Attended done = attention(q, k, v, plan, shape);
    return Runner{[=] { attention_backward(q, k, v, done, dy, plan, shape); }};
  };
  list.add("attention forward" + which, {{2 * product, bytes(2 * (width + kv_width))}}, tokens,
           [make] { return make(true); });
  list.add("attention backward" + which, {{4 * product, bytes(3 * width + 4 * kv_width)}}, tokens,
           [make] { return make(false); });
}

// With its cross-entropy, as scoring and as training run it.
void add_head(CaseList& list) {
  const int64_t vocab = list.subject->base.spec().vocab, hidden = list.subject->base.spec().hidden;
  const ScoredTokens targets = join_targets(list.subject->batch);
  const auto rows = static_cast<int64_t>(targets.tokens.size());
  const auto weights = static_cast<double>(vocab * hidden);
  const BenchWork once{2 * static_cast<double>(rows) * weights, list.subject->element() * weights};
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

// What element-wise kernels are given: tensors of the activations' type, of the stream's, and a weight for each column.
struct Elements {
  at::Tensor x, y, dy, stream, d_stream, weight;
};

// A kernel that reads and writes so many bytes of every value of [tokens, width]. `restore`: what it works on in place would
// die away otherwise.
struct ElementKernel {
  const char* name;
  int64_t width;
  double bytes;
  std::function<void(Elements&)> run;
  bool restore = false;
};

std::vector<ElementKernel> element_kernels(const BenchSubject& subject) {
  const ModelSpec& spec = subject.base.spec();
  const double size = subject.element();
  const at::ScalarType type = subject.base.dtype();
  std::vector<ElementKernel> kernels = {
      {"norm forward", spec.hidden, 4 + size, [=](Elements& e) { rms_norm(e.stream, e.weight, spec.norm_eps, type); }},
      {"norm backward", spec.hidden, 12 + 2 * size,
       [=](Elements& e) { rms_norm_backward(e.stream, e.dy, e.weight, spec.norm_eps, e.d_stream); }}};
  if (!spec.encoder_decoder()) {
    const int64_t tokens = subject.batch.token_count();
    const RotaryTable table = rotary_table({{rope_frequencies(spec, tokens), 0, tokens}}, type, subject.base.device());
    const at::Tensor turns = at::arange(tokens, at::TensorOptions().dtype(at::kInt).device(subject.base.device()));
    kernels.push_back(
        {"rotary", spec.heads * spec.head_dim, 2 * size, [=](Elements& e) { rotary_(e.x, turns, table, false); }});
  }
  if (spec.gated) {
    kernels.push_back(
        {"gated activation", spec.intermediate, 3 * size, [=](Elements& e) { gated(spec.activation, e.x, e.y); }});
    kernels.push_back({"gated activation backward", spec.intermediate, 5 * size,
                       [=](Elements& e) { gated_backward_(spec.activation, e.x, e.y, e.dy); }, true});
  }
  return kernels;
}

void add_elementwise(CaseList& list) {
  const int64_t tokens = list.subject->batch.token_count();
  for (const ElementKernel& kernel : element_kernels(*list.subject)) {
    const double bytes = kernel.bytes * static_cast<double>(tokens * kernel.width);
    list.add(kernel.name, {{0, bytes}}, tokens, [=, s = list.subject] {
      const auto drawn = [&](uint64_t number) { return rows_of(*s, tokens, kernel.width, number); };
      const at::Tensor x = drawn(0), y = drawn(1), stream = x.to(at::kFloat, false, /*copy=*/true);
      const auto e = std::make_shared<Elements>(Elements{x.clone(), y.clone(), drawn(2), stream, at::zeros_like(stream),
                                                         at::ones({kernel.width}, stream.options())});
      Runner runner{[e, run = kernel.run] { run(*e); }};
      if (kernel.restore) runner.prepare = [=] { e->x.copy_(x), e->y.copy_(y); };
      return runner;
    });
  }
}

}  // namespace

std::vector<BenchCase> kernel_cases(const SharedSubject& subject, const std::vector<int64_t>& experts) {
  CaseList list{"kernels", subject};
  add_linears(list);
  add_adapters(list);
  for (const int64_t n : experts) add_routing(list, n);
  add_attention(list, "", subject->batch);
  add_attention(list, " of one long row", subject->long_row);
  add_head(list);
  add_elementwise(list);
  return std::move(list.cases);
}

}  // namespace gaggle
