#include "model/gguf_tensors.h"

#include "base/error.h"
#include "kernel/upload.h"

namespace gaggle {
namespace {

// A block a row: [blocks, bytes] uint8.
struct Blocks {
  at::Tensor bytes;

  at::Tensor part(int64_t begin, int64_t count) const { return bytes.narrow(1, begin, count); }
  // [blocks, 1] fp32
  at::Tensor half(int64_t begin) const { return part(begin, 2).contiguous().view(at::kHalf).to(at::kFloat); }
  at::Tensor signed_bytes(int64_t begin, int64_t count) const {
    return part(begin, count).contiguous().view(at::kChar);
  }
  // 0, 1, … as shifts of a dimension.
  at::Tensor shifts(int64_t count, int64_t step, at::IntArrayRef shape) const {
    return at::arange(0, count * step, step, bytes.options()).view(shape);
  }
};

at::Tensor low(const at::Tensor& x) { return x.bitwise_and(15); }
at::Tensor high(const at::Tensor& x) { return x.bitwise_right_shift(4); }
at::Tensor with_upper(const at::Tensor& nibble, const at::Tensor& upper) {
  return nibble.bitwise_or(upper.bitwise_left_shift(4));
}
at::Tensor numbers(const at::Tensor& x) { return x.to(at::kFloat); }

// 16 bytes: low nibbles are values 0-15, high ones 16-31.
at::Tensor nibbles(const at::Tensor& x) { return at::cat({low(x), high(x)}, 1); }

// A bit of each of 32 values, in 4 bytes.
at::Tensor fifth_bits(const Blocks& b, int64_t begin) {
  return b.part(begin, 4).unsqueeze(2).bitwise_right_shift(b.shifts(8, 1, {1, 1, 8})).bitwise_and(1).flatten(1);
}

at::Tensor q4(const Blocks& b, bool shifted) {
  const at::Tensor q = numbers(nibbles(b.part(shifted ? 4 : 2, 16)));
  return shifted ? q.mul(b.half(0)).add_(b.half(2)) : q.sub(8).mul_(b.half(0));
}

at::Tensor q5(const Blocks& b, bool shifted) {
  const int64_t fifth = shifted ? 4 : 2;
  const at::Tensor q = numbers(with_upper(nibbles(b.part(fifth + 4, 16)), fifth_bits(b, fifth)));
  return shifted ? q.mul(b.half(0)).add_(b.half(2)) : q.sub(16).mul_(b.half(0));
}

// Q4_K, and with a fifth bit Q5_K: eight groups of 32 values with scales and minima of six bits in twelve bytes.
at::Tensor scaled_groups(const Blocks& b, bool five) {
  const at::Tensor first = b.part(4, 4), second = b.part(8, 4), third = b.part(12, 4);
  const auto top = [](const at::Tensor& x) { return x.bitwise_right_shift(6); };
  const at::Tensor scale = at::cat({first.bitwise_and(63), with_upper(low(third), top(first))}, 1);
  const at::Tensor min = at::cat({second.bitwise_and(63), with_upper(high(third), top(second))}, 1);
  const at::Tensor bytes = b.part(five ? 48 : 16, 128).reshape({-1, 4, 32});
  at::Tensor q = at::stack({low(bytes), high(bytes)}, 2).view({-1, 8, 32});
  if (five) {
    const at::Tensor bits = b.part(16, 32).unsqueeze(1).bitwise_right_shift(b.shifts(8, 1, {1, 8, 1})).bitwise_and(1);
    q = with_upper(q, bits);
  }
  return numbers(q).mul_(numbers(scale).mul_(b.half(0)).unsqueeze(2)).sub_(numbers(min).mul_(b.half(2)).unsqueeze(2));
}

at::Tensor q6_k(const Blocks& b) {
  const at::Tensor bytes = b.part(0, 128).reshape({-1, 2, 1, 2, 32});
  const at::Tensor nibble = at::cat({low(bytes), high(bytes)}, 2).view({-1, 2, 4, 32});
  const at::Tensor upper =
      b.part(128, 64).reshape({-1, 2, 1, 32}).bitwise_right_shift(b.shifts(4, 2, {1, 1, 4, 1})).bitwise_and(3);
  const at::Tensor scale = numbers(b.signed_bytes(192, 16)).mul_(b.half(208));
  return numbers(with_upper(nibble, upper)).sub_(32).view({-1, 16, 16}).mul_(scale.unsqueeze(2));
}

// Sixteen groups of 16 pairs of bits in 64 bytes.
at::Tensor bit_pairs(const Blocks& b, int64_t begin) {
  return b.part(begin, 64)
      .reshape({-1, 2, 1, 2, 16})
      .bitwise_right_shift(b.shifts(4, 2, {1, 1, 4, 1, 1}))
      .bitwise_and(3)
      .reshape({-1, 16, 16});
}

at::Tensor q2_k(const Blocks& b) {
  const at::Tensor groups = b.part(0, 16);
  const at::Tensor scale = numbers(low(groups)).mul_(b.half(80)), min = numbers(high(groups)).mul_(b.half(82));
  return numbers(bit_pairs(b, 16)).mul_(scale.unsqueeze(2)).sub_(min.unsqueeze(2));
}

at::Tensor q3_k(const Blocks& b) {
  const at::Tensor packed = b.part(96, 8);
  const at::Tensor nibble = at::cat({low(packed), high(packed)}, 1);
  const at::Tensor upper =
      b.part(104, 4).unsqueeze(1).bitwise_right_shift(b.shifts(4, 2, {1, 4, 1})).bitwise_and(3).flatten(1);
  const at::Tensor scale = numbers(with_upper(nibble, upper)).sub_(32).mul_(b.half(108));
  const at::Tensor third = b.part(0, 32)
                               .reshape({-1, 1, 2, 16})
                               .bitwise_right_shift(b.shifts(8, 1, {1, 8, 1, 1}))
                               .bitwise_and(1)
                               .reshape({-1, 16, 16});
  // Where the third bit is not set, 4 is taken away.
  return numbers(bit_pairs(b, 32)).add_(numbers(third).sub_(1).mul_(4)).mul_(scale.unsqueeze(2));
}

// The values that a nibble of IQ4 stands for.
at::Tensor iq4(const at::Tensor& nibble) {
  static constexpr float stands_for[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  const at::Tensor values = to_device(std::span<const float>(stands_for), nibble.device());
  return values.index_select(0, nibble.flatten().to(at::kInt)).view(nibble.sizes());
}

at::Tensor iq4_xs(const Blocks& b) {
  const at::Tensor packed = b.part(4, 4);
  const at::Tensor nibble = at::stack({low(packed), high(packed)}, 2).flatten(1);
  const at::Tensor upper =
      b.part(2, 2).unsqueeze(2).bitwise_right_shift(b.shifts(4, 2, {1, 1, 4})).bitwise_and(3).flatten(1);
  const at::Tensor scale = numbers(with_upper(nibble, upper)).sub_(32).mul_(b.half(0));
  const at::Tensor bytes = b.part(8, 128).reshape({-1, 8, 16});
  return iq4(at::cat({low(bytes), high(bytes)}, 2)).mul_(scale.unsqueeze(2));
}

at::Tensor values_of(GgufType type, const Blocks& b) {
  switch (type) {
    case GgufType::q4_0:
      return q4(b, false);
    case GgufType::q4_1:
      return q4(b, true);
    case GgufType::q5_0:
      return q5(b, false);
    case GgufType::q5_1:
      return q5(b, true);
    case GgufType::q8_0:
      return numbers(b.signed_bytes(2, 32)).mul_(b.half(0));
    case GgufType::q2_k:
      return q2_k(b);
    case GgufType::q3_k:
      return q3_k(b);
    case GgufType::q4_k:
      return scaled_groups(b, false);
    case GgufType::q5_k:
      return scaled_groups(b, true);
    case GgufType::q6_k:
      return q6_k(b);
    case GgufType::iq4_nl:
      return iq4(nibbles(b.part(2, 16))).mul_(b.half(0));
    case GgufType::iq4_xs:
      return iq4_xs(b);
    default:
      GAGGLE_CHECK(false, "GGUF type {}", static_cast<uint32_t>(type));
  }
}

}  // namespace

at::Tensor gguf_values(GgufType type, const at::Tensor& codes, int64_t width) {
  const Blocks blocks{codes.reshape({-1, gguf_block(type).bytes})};
  return values_of(type, blocks).reshape({codes.size(0), width});
}

}  // namespace gaggle
