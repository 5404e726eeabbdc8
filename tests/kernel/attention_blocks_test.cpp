// Attention of long rows by blocks of queries and keys, forward and backward, against the formula with all scores in
// fp64: lengths about the edges of blocks, windows, grouped heads, keys of other rows, T5's bias and dropout.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <numeric>

#include "base/philox.h"
#include "kernel/attention.h"
#include "kernel/bf16_dot.h"
#include "made.h"

namespace gaggle {
namespace {

struct Results {
  at::Tensor y, q, k, v;  // y and the gradients
};

// The tensors of one call, fp64.
struct World {
  HeadShape shape;
  std::vector<AttentionRow> rows;
  AttentionMask mask;
  at::Tensor q, k, v, dy;
  PositionBias bias;
  AttentionDropout dropout;
  bool has_bias = false, has_dropout = false;
  AttentionExtras extras() const { return {has_bias ? &bias : nullptr, has_dropout ? &dropout : nullptr}; }
};

// Queries of these lengths one after the other; each sees as many keys of its own, in the pool one after the other.
World world(const HeadShape& shape, const std::vector<int64_t>& queries, const std::vector<int64_t>& keys,
            const AttentionMask& mask) {
  World w{shape, {}, mask, {}, {}, {}, {}, {}, {}};
  int64_t t = 0, pool = 0;
  for (size_t s = 0; s < queries.size(); ++s) {
    std::vector<int64_t> key_rows(static_cast<size_t>(keys[s]));
    std::iota(key_rows.begin(), key_rows.end(), pool);
    w.rows.push_back({t, queries[s], mask.causal ? keys[s] - queries[s] : 0, key_rows});
    t += queries[s], pool += keys[s];
  }
  w.q = values({t, shape.heads * shape.head_dim}), w.dy = values({t, shape.heads * shape.head_dim});
  w.k = values({pool, shape.kv_heads * shape.head_dim}), w.v = values({pool, shape.kv_heads * shape.head_dim});
  return w;
}

// 1 where query i sees key j.
at::Tensor seen(const AttentionRow& row, const AttentionMask& mask) {
  const at::Tensor sees = at::zeros({row.rows, row.keys()}, at::kDouble);
  for (int64_t i = 0; i < row.rows; ++i)
    for (int64_t j = 0; j < row.keys(); ++j) {
      const int64_t back = row.position + i - j;
      const bool yes = !mask.causal || (back >= 0 && (mask.window == 0 || back < mask.window));
      sees.data_ptr<double>()[i * row.keys() + j] = yes;
    }
  return sees;
}

// What is added to a score, and by what dropout multiplies a probability, [rows, keys].
std::pair<at::Tensor, at::Tensor> extras_of(const World& w, const AttentionRow& row, int64_t head) {
  const at::Tensor add = at::zeros({row.rows, row.keys()}, at::kDouble), times = at::ones_like(add);
  const at::Tensor table = w.has_bias ? w.bias.by_distance[head].to(at::kDouble) : at::Tensor();
  for (int64_t i = 0; i < row.rows; ++i) {
    const uint64_t key =
        w.has_dropout ? random_key("head", {w.dropout.keys[static_cast<size_t>(row.begin + i)], uint64_t(head)}) : 0;
    for (int64_t j = 0; j < row.keys(); ++j) {
      const int64_t at = i * row.keys() + j;
      if (w.has_bias) add.data_ptr<double>()[at] = table.data_ptr<double>()[j - row.position - i + w.bias.reach];
      if (w.has_dropout) {
        const bool drops = static_cast<double>(random_bits(key, uint64_t(j))) < w.dropout.p * 0x1p64;
        times.data_ptr<double>()[at] = drops ? 0 : 1 / (1 - w.dropout.p);
      }
    }
  }
  return {add, times};
}

Results by_formula(const World& w) {
  Results r{at::zeros_like(w.q), at::zeros_like(w.q), at::zeros_like(w.k), at::zeros_like(w.v)};
  const int64_t d = w.shape.head_dim, group = w.shape.heads / w.shape.kv_heads;
  for (const AttentionRow& row : w.rows) {
    const at::Tensor sees = seen(row, w.mask), pool = at::tensor(row.key_rows, at::kLong);
    for (int64_t h = 0; h < w.shape.heads; ++h) {
      const auto queries = [&](const at::Tensor& x) { return x.narrow(0, row.begin, row.rows).narrow(1, h * d, d); };
      const auto keys = [&](const at::Tensor& x) { return x.narrow(1, h / group * d, d); };
      const auto [add, times] = extras_of(w, row, h);
      const at::Tensor q = queries(w.q), dy = queries(w.dy);
      const at::Tensor k = keys(w.k).index_select(0, pool), v = keys(w.v).index_select(0, pool);
      const at::Tensor scores = (w.shape.scale * at::mm(q, k.t()) + add).masked_fill(sees == 0, -1e300);
      const at::Tensor p = at::softmax(scores, -1) * sees;
      queries(r.y).copy_(at::mm(p * times, v));
      const at::Tensor dp = at::mm(dy, v.t()) * times;
      const at::Tensor ds = p * (dp - (p * dp).sum(-1, true)) * w.shape.scale;
      queries(r.q).copy_(at::mm(ds, k));
      keys(r.k).index_add_(0, pool, at::mm(ds.t(), q));
      keys(r.v).index_add_(0, pool, at::mm((p * times).t(), dy));
    }
  }
  return r;
}

// All rows by blocks, whatever their length.
Results by_blocks(const World& w, at::ScalarType type) {
  AttentionPlan plan;
  plan.long_rows = w.rows;
  plan.mask = w.mask;
  const at::Tensor q = w.q.to(type), k = w.k.to(type), v = w.v.to(type);
  const Attended forward = attention(q, k, v, plan, w.shape, w.extras());
  const AttentionGrad grad = attention_backward(q, k, v, forward, w.dy.to(type), plan, w.shape, w.extras());
  return {forward.y, grad.q, grad.k, grad.v};
}

void expect_formula(const World& w, std::initializer_list<at::ScalarType> types = {at::kFloat, at::kBFloat16}) {
  const Results exact = by_formula(w);
  // Where each query sees one key, its probability is 1 whatever q and k are: what is left of their gradient is rounding.
  const auto gradients_apart = [&](const at::Tensor& ours, const at::Tensor& of) {
    const bool is_zero = of.norm().item<double>() < 1e-9;
    return is_zero ? (ours.to(at::kDouble).norm() / w.dy.norm()).item<double>() : apart(ours, of);
  };
  for (const at::ScalarType type : types) {
    const Results ours = by_blocks(w, type);
    const double limit = type == at::kDouble ? 1e-12 : type == at::kFloat ? 1e-5 : 1e-2;
    EXPECT_LT(apart(ours.y, exact.y), limit) << type;
    EXPECT_LT(gradients_apart(ours.q, exact.q), limit) << type;
    EXPECT_LT(gradients_apart(ours.k, exact.k), limit) << type;
    EXPECT_LT(apart(ours.v, exact.v), limit) << type;
  }
}

const std::vector<int64_t> edges = {1, 63, 64, 65, 127, 128, 129, 300, 1000};

TEST(AttentionBlocks, CausalAndWindows) {
  at::manual_seed(1);
  for (const int64_t window : {0, 1, 5, 64, 200}) {
    SCOPED_TRACE(window);
    expect_formula(world({4, 4, 8, 0.4}, edges, edges, {true, window}));
  }
}

TEST(AttentionBlocks, GroupedHeadsOfOtherWidths) {
  at::manual_seed(2);
  for (const int64_t d : {2, 6, 23, 64}) {
    SCOPED_TRACE(d);
    expect_formula(world({6, 2, d, 0.3}, {129, 70}, {129, 70}, {true, 0}));
  }
}

TEST(AttentionBlocks, EncoderAndCross) {
  at::manual_seed(3);
  expect_formula(world({4, 2, 8, 0.4}, edges, edges, {false, 0}));
  expect_formula(world({4, 4, 8, 0.4}, {1, 300, 65, 129}, {300, 1, 200, 64}, {false, 0}));
}

TEST(AttentionBlocks, BehindACache) {
  at::manual_seed(4);
  for (const int64_t window : {0, 90}) {
    World w = world({4, 2, 8, 0.4}, {70, 5, 129}, {170, 140, 130}, {true, window});
    std::reverse(w.rows[0].key_rows.begin(), w.rows[0].key_rows.begin() + 100);  // a past in any order
    expect_formula(w);
  }
}

TEST(AttentionBlocks, BiasOfPositionsAndDropout) {
  at::manual_seed(5);
  for (const bool causal : {false, true}) {
    World w = world({4, 4, 8, 0.4}, {65, 128, 300}, {65, 128, 300}, {causal, 0});
    w.has_bias = true;
    w.bias = {at::randn({4, 2 * 300 + 1}), 300};
    expect_formula(w);
    w.has_dropout = true;
    w.dropout.p = 0.3;
    for (int64_t t = 0; t < w.q.size(0); ++t) w.dropout.keys.push_back(random_key("test", {uint64_t(t)}));
    expect_formula(w, {at::kFloat, at::kBFloat16, at::kDouble});
  }
}

// fp64 stands for what our loops do not serve, GPUs too: a row in as many parts as its scores need.
TEST(AttentionBlocks, PartsOfRowsOnOtherDevices) {
  at::manual_seed(6);
  const int64_t n = 2100;
  const World causal = world({4, 2, 4, 0.5}, {n}, {n}, {true, 300});
  EXPECT_LT(queries_at_once(causal.rows[0], causal.shape), n);
  expect_formula(causal, {at::kDouble});
  World encoder = world({4, 4, 4, 0.5}, {n}, {n}, {false, 0});
  encoder.has_bias = true;
  encoder.bias = {at::randn({4, 2 * n + 1}), n};
  expect_formula(encoder, {at::kDouble});
}

TEST(AttentionBlocks, SameBitsOnAnyNumberOfThreads) {
  at::manual_seed(7);
  const int before = at::get_num_threads();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const World w = world({6, 2, 16, 0.25}, {300, 129, 700}, {300, 129, 700}, {true, 0});
    at::set_num_threads(1);
    const Results one = by_blocks(w, type);
    for (const int threads : {2, 3}) {
      at::set_num_threads(threads);
      const Results more = by_blocks(w, type);
      EXPECT_TRUE(at::equal(one.y, more.y) && at::equal(one.q, more.q) && at::equal(one.k, more.k) &&
                  at::equal(one.v, more.v))
          << threads;
    }
  }
  at::set_num_threads(before);
}

TEST(AttentionBlocks, SizesAndTypesDecide) {
  const HeadShape shape{9, 3, 64, 0.125};
  const auto long_rows = [&](const std::vector<int64_t>& lengths, const at::TensorOptions& like) {
    return plan_attention(ragged(lengths), 0, 0, shape, like).long_rows.size();
  };
  EXPECT_EQ(long_rows({1, 127, 128}, at::kFloat), 0u);
  EXPECT_EQ(long_rows({1, 129, 128, 130}, at::kFloat), 2u);
  const bool by_dots = has_bf16_dot() && !has_bf16_tiles();  // else whole products of bf16 are faster
  EXPECT_EQ(long_rows({128, 1000, 1365}, at::kBFloat16), by_dots ? 2u : 0u);
  EXPECT_EQ(long_rows({128, 1000, 1366}, at::kBFloat16), by_dots ? 2u : 1u);  // 9 · 1366² scores are more than 2^24
  EXPECT_EQ(long_rows({129, 1000, 1366}, at::kDouble), 1u);
  Microbatch decoding = ragged({31, 40});
  decoding.past = {std::vector<int64_t>(1000), std::vector<int64_t>(1000)};
  EXPECT_EQ(plan_attention(decoding, 2000, 0, shape, at::kCPU).long_rows.size(), 1u);
}

TEST(AttentionBlocks, BytesGrowWithLengthAlone) {
  const HeadShape shape{8, 8, 8, 0.35};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto bytes = [&](int64_t n) { return attention_bytes(shape, n, n, type, true); };
    EXPECT_GT(bytes(100), 2 * 100 * 100 * 8 * int64_t(c10::elementSize(type)) - 1);
    EXPECT_LE(bytes(64'000) - bytes(32'000), 32'000 * 8 * 8);  // two sums for each token and head
    EXPECT_LT(bytes(32'000), int64_t{200} << 20);
  }
  const auto on_gpu = at::TensorOptions().dtype(at::kBFloat16).device(at::kCUDA);
  const auto bytes = [&](const HeadShape& heads, int64_t n) { return attention_bytes(heads, n, n, on_gpu, true); };
  EXPECT_EQ(bytes(shape, 64'000), 2 * bytes(shape, 32'000));  // flash attention's
  HeadShape biased = shape;
  biased.bare = false;
  EXPECT_EQ(bytes(biased, 64'000), bytes(biased, 32'000));  // one chunk of queries
}

int64_t peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

TEST(AttentionBlocks, MemoryGrowsWithLengthAlone) {
  const World w = world({1, 1, 4, 0.5}, {32768}, {32768}, {true, 0});  // all scores: 4 GB
  const int64_t before = peak_megabytes();
  const Results ours = by_blocks(w, at::kFloat);
  EXPECT_LT(peak_megabytes() - before, 100);
  EXPECT_TRUE(ours.y.isfinite().all().item<bool>() && ours.k.isfinite().all().item<bool>());
}

}  // namespace
}  // namespace gaggle
