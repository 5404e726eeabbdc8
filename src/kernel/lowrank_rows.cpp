// Eight tokens at a time have their h and e, and from them y or dx; then a block of them is multiplied into the sums of
// dA and dB. Chunks of tokens, whose length follows from the number of tokens alone, have sums of their own, which are
// added up in their order.
#include "kernel/lowrank_rows.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "base/error.h"
#include "kernel/bf16_dot.h"
#include "kernel/dispatch.h"

namespace gaggle {
namespace {

using simd::Bf16;

constexpr int64_t few_tokens = 8;      // tokens that have their h and e together
constexpr int64_t most_rank = 32;      // from there on LibTorch's products, of which each is large, are as fast
constexpr int64_t lowrank_block = 64;  // tokens that are multiplied into the sums together

// A segment's rows and its pair.
struct PairRows {
  const Bf16 *x, *dy, *a, *bt;       // [n, d_in], [n, d_out], [width, d_in], [r, d_out]
  Bf16 *y, *dx;                      // nullptr: not wanted
  int64_t n, d_in, d_out, r, width;  // a row more than r where there is a gate
  float scale, bias;                 // bias: of the gate
  bool wants_b;
  int64_t first_a, last_a;  // the rows of a whose gradients are wanted
};

// Of a block's tokens what goes into products: g∘h and the gradient of [h; v·x], both times scale.
struct BlockBuffers {
  int64_t stride;                  // of the rows of `few_tokens`
  std::vector<float> h, e;         // [few_tokens, width], [few_tokens, r]
  std::vector<Bf16> few_h, few_e;  // [few_tokens, stride]
  std::vector<Bf16> all_h, all_e;  // [width, lowrank_block]

  explicit BlockBuffers(const PairRows& p)
      : stride(p.width + p.width % 2),
        h(few_tokens * p.width),
        e(h.size()),
        few_h(few_tokens * stride),
        few_e(few_h.size()),
        all_h(p.width * lowrank_block),
        all_e(all_h.size()) {}
};

const Bf16* bf16_of(const at::Tensor& x) { return x.defined() ? static_cast<const Bf16*>(x.data_ptr()) : nullptr; }

PairRows pair_rows(const at::Tensor& x, const at::Tensor& a, const at::Tensor& bt, const LowRank& member) {
  GAGGLE_CHECK(is_bf16(a) && is_bf16(bt));
  PairRows p{};
  p.x = bf16_of(x), p.a = bf16_of(a), p.bt = bf16_of(bt);
  p.n = x.size(0), p.d_in = x.size(1), p.d_out = bt.size(1), p.r = bt.size(0), p.width = a.size(0);
  p.scale = static_cast<float>(member.scale), p.bias = static_cast<float>(member.gate_bias);
  return p;
}

Bf16 to_bf16(float x) { return {c10::detail::round_to_nearest_even(x)}; }

// g of a token whose h is there.
float gate_of(const PairRows& p, const float* h) { return p.width > p.r ? 1 / (1 + std::exp(-(h[p.r] + p.bias))) : 1; }

void forward_few(const PairRows& p, int64_t t, int64_t count, BlockBuffers& to) {
  rough_dots(p.x + t * p.d_in, count, p.a, p.width, p.d_in, to.h.data());
  for (int64_t i = 0; i < count; ++i) {
    const float* h = &to.h[i * p.width];
    const float weight = p.scale * gate_of(p, h);
    for (int64_t q = 0; q < p.r; ++q) to.few_h[i * to.stride + q] = to_bf16(weight * h[q]);
  }
  add_product_bf16({to.few_h.data(), count, to.stride, p.bt, p.r, p.d_out}, p.y + t * p.d_out);
}

// The gradient of one token's [h; v·x] to `to`, from its h and its e.
void hidden_gradient(const PairRows& p, const float* h, const float* e, Bf16* to) {
  const float g = gate_of(p, h), weight = p.scale * g;
  for (int64_t q = 0; q < p.r; ++q) to[q] = to_bf16(weight * e[q]);
  if (p.width == p.r) return;
  float dot = 0;
  for (int64_t q = 0; q < p.r; ++q) dot += e[q] * h[q];
  to[p.r] = to_bf16(dot * weight * (1 - g));
}

// Of tokens from t on, which are those from `place` on in their block.
void backward_few(const PairRows& p, int64_t t, int64_t count, int64_t place, BlockBuffers& to) {
  if (p.wants_b || p.width > p.r) rough_dots(p.x + t * p.d_in, count, p.a, p.width, p.d_in, to.h.data());
  rough_dots(p.dy + t * p.d_out, count, p.bt, p.r, p.d_out, to.e.data());
  for (int64_t i = 0; i < count; ++i) {
    const float* h = &to.h[i * p.width];
    Bf16* few_e = &to.few_e[i * to.stride];
    hidden_gradient(p, h, &to.e[i * p.r], few_e);
    const float weight = p.scale * gate_of(p, h);
    for (int64_t q = 0; q < p.r; ++q) to.all_h[q * lowrank_block + place + i] = to_bf16(weight * h[q]);
    for (int64_t q = 0; q < p.width; ++q) to.all_e[q * lowrank_block + place + i] = few_e[q];
  }
  for (int64_t q = 0; count % 2 && q < p.width; ++q)  // the pair's other half
    to.all_h[q * lowrank_block + place + count] = to.all_e[q * lowrank_block + place + count] = Bf16{0};
  if (p.dx) add_product_bf16({to.few_e.data(), count, to.stride, p.a, p.width, p.d_in}, p.dx + t * p.d_in);
}

// Rows of sums [r or 0, d_out], and behind them [last_a - first_a, d_in], in columns as add_product_bf16 parts them.
void backward_chunk(const PairRows& p, int64_t begin, int64_t end, BlockBuffers& buffers, float* sums_b,
                    float* sums_a) {
  for (int64_t block = begin; block < end; block += lowrank_block) {
    const int64_t count = std::min(lowrank_block, end - block);
    for (int64_t i = 0; i < count; i += few_tokens)
      backward_few(p, block + i, std::min(few_tokens, count - i), i, buffers);
    if (p.wants_b)
      add_product_bf16({buffers.all_h.data(), p.r, lowrank_block, p.dy + block * p.d_out, count, p.d_out}, sums_b);
    if (p.first_a < p.last_a)
      add_product_bf16({&buffers.all_e[p.first_a * lowrank_block], p.last_a - p.first_a, lowrank_block,
                        p.x + block * p.d_in, count, p.d_in},
                       sums_a);
  }
}

// Sums of several chunks, which lie `apart` from each other, and where they go: [rows, d], with these strides.
struct ChunkSums {
  const float* from;  // [rows, padded]
  int64_t chunks, apart, padded;
  float* to;
  int64_t rows, d, by_row, by_column;
};

// The 32 columns from `column` on, first brought into their order.
GAGGLE_CLONES void add_columns(const ChunkSums& sums, int64_t column) {
  constexpr int64_t wide = parted_columns, half = wide / 2;
  const int64_t count = std::min(wide, sums.d - column);
  for (int64_t q = 0; q < sums.rows; ++q) {
    float parted[wide]{}, total[wide];
    const float* from = sums.from + q * sums.padded + column;
    for (int64_t c = 0; c < sums.chunks; ++c, from += sums.apart)
      for (int64_t i = 0; i < wide; ++i) parted[i] += from[i];
    for (int64_t i = 0; i < half; ++i) total[2 * i] = parted[i], total[2 * i + 1] = parted[half + i];
    float* to = sums.to + q * sums.by_row + column * sums.by_column;
    if (sums.by_column == 1)
      for (int64_t i = 0; i < count; ++i) to[i] += total[i];
    else
      for (int64_t i = 0; i < count; ++i) to[i * sums.by_column] += total[i];
  }
}

void add_sums(const at::Tensor& to, const float* from, int64_t chunks, int64_t apart) {
  GAGGLE_CHECK(to.scalar_type() == at::kFloat);
  const ChunkSums sums{from,       chunks,       apart,       padded_columns(to.size(1)), float_of(to), to.size(0),
                       to.size(1), to.stride(0), to.stride(1)};
  const int64_t steps = sums.padded / parted_columns;
  at::parallel_for(0, steps, grain(sums.rows * chunks * parted_columns), [&](int64_t first, int64_t last) {
    for (int64_t step = first; step < last; ++step) add_columns(sums, step * parted_columns);
  });
}

// Tokens of a chunk: a quarter of all, so that threads have something to share; not so few that the sums are much of the
// work, nor so many that threads wait for the last. There are 64 chunks at most, for their sums take memory.
int64_t chunk_tokens(int64_t n) {
  const int64_t quarter = std::clamp<int64_t>((n + 31) / 32 * few_tokens, 4 * few_tokens, 2 * lowrank_block);
  return std::max(quarter, (n + 64 * lowrank_block - 1) / (64 * lowrank_block) * lowrank_block);
}

}  // namespace

bool has_lowrank_rows(at::ScalarType type, at::Device device, int64_t rank) {
  return has_bf16_dot() && device.is_cpu() && type == at::kBFloat16 && rank <= most_rank;
}

bool takes_lowrank_rows(const at::Tensor& x, const at::Tensor& y, const at::Tensor& dx, int64_t rank) {
  const auto fits = [&](const at::Tensor& t) { return on_cpu(t) && is_bf16(t); };
  return has_lowrank_rows(x.scalar_type(), x.device(), rank) && on_cpu(x) && fits(y) && (!dx.defined() || fits(dx));
}

void lowrank_rows_forward(const at::Tensor& x, const at::Tensor& y, const LowRank& member, const at::Tensor& a) {
  const at::Tensor rows = a.contiguous(), bt = member.b.t().contiguous();
  PairRows p = pair_rows(x, rows, bt, member);
  p.y = static_cast<Bf16*>(y.data_ptr());
  const int64_t cost = few_tokens * p.width * (p.d_in + p.d_out) / 16;
  at::parallel_for(0, (p.n + few_tokens - 1) / few_tokens, grain(cost), [&](int64_t first, int64_t last) {
    BlockBuffers buffers(p);
    for (int64_t t = first * few_tokens; t < std::min(last * few_tokens, p.n); t += few_tokens)
      forward_few(p, t, std::min(few_tokens, p.n - t), buffers);
  });
}

void lowrank_rows_backward(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& dx, const LowRank& member,
                           const at::Tensor& a, const LowRankGrad& grad) {
  const at::Tensor rows = a.contiguous(), bt = member.b.t().contiguous();
  PairRows p = pair_rows(x, rows, bt, member);
  p.dy = bf16_of(dy);
  p.dx = dx.defined() ? static_cast<Bf16*>(dx.data_ptr()) : nullptr;
  p.wants_b = grad.b.defined();
  p.first_a = grad.a.defined() ? 0 : p.r, p.last_a = grad.gate.defined() ? p.width : p.r;
  const int64_t chunk = chunk_tokens(p.n), chunks = (p.n + chunk - 1) / chunk;
  const int64_t sums_b = p.wants_b ? p.r * padded_columns(p.d_out) : 0;
  const int64_t all_sums = sums_b + (p.last_a - p.first_a) * padded_columns(p.d_in);
  const at::Tensor sums = at::empty({chunks, all_sums}, at::kFloat);
  at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
    BlockBuffers buffers(p);
    for (int64_t c = first; c < last; ++c) {
      float* to = float_of(sums) + c * all_sums;
      std::fill_n(to, all_sums, 0.0f);
      backward_chunk(p, c * chunk, std::min(p.n, (c + 1) * chunk), buffers, to, to + sums_b);
    }
  });
  const float *from_b = float_of(sums), *from_a = from_b + sums_b;
  if (p.wants_b) add_sums(grad.b.t(), from_b, chunks, all_sums);
  if (grad.a.defined()) add_sums(grad.a, from_a, chunks, all_sums);
  if (grad.gate.defined())
    add_sums(grad.gate.unsqueeze(0), from_a + (p.r - p.first_a) * padded_columns(p.d_in), chunks, all_sums);
}

}  // namespace gaggle
