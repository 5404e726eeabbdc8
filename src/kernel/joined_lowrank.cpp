#include "kernel/joined_lowrank.h"

#include "kernel/lowrank_rows.h"

namespace gaggle {

bool joining_is_cheaper(int64_t rows, int64_t rank, at::ScalarType type, at::Device device) {
  if (has_lowrank_rows(type, device, rank)) return false;  // up to three times as fast as joined, however few the rows
  // A member's own products begin about seven times, 10 to 20 µs each on a CPU and half of that on a GPU;
  // joined it adds r columns to products over all rows. Fixed numbers:
  // nothing that is timed may decide about bits.
  const int64_t limit = !device.is_cpu() ? 1'000'000 : type == at::kBFloat16 ? 10'000 : 1'500;
  return rows * rank <= limit;
}

at::Tensor foreign_columns(std::span<const Segment> segments, int64_t members, int64_t rank, int64_t rows,
                           at::Device device) {
  at::Tensor foreign = at::ones({rows, members * rank}, at::kBool);
  for (const Segment& s : segments)
    foreign.narrow(0, s.begin, s.end - s.begin).narrow(1, s.member * rank, rank).fill_(false);
  return foreign.to(device);
}

void joined_lowrank_forward(const at::Tensor& x, at::Tensor& y, const JoinedPairs& pairs, const at::Tensor& foreign) {
  y.addmm_(at::mm(x, pairs.a).masked_fill_(foreign, 0), pairs.b, 1, pairs.scale);
}

JoinedGrad joined_lowrank_backward(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx, const JoinedPairs& pairs,
                                   const at::Tensor& foreign) {
  const at::Tensor h = at::mm(x, pairs.a).masked_fill_(foreign, 0);
  const at::Tensor e = at::mm(dy, pairs.b.t()).masked_fill_(foreign, 0);
  if (dx.defined()) dx.addmm_(e, pairs.a.t(), 1, pairs.scale);
  return {at::mm(x.t(), e), at::mm(h.t(), dy)};
}

}  // namespace gaggle
