#include "kernel/joined_lowrank.h"

#include <algorithm>

#include "kernel/lowrank_rows.h"
#include "kernel/upload.h"
#include "kernel/wide_product.h"

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
  std::vector<int64_t> own(static_cast<size_t>(rows), -1);  // none, between segments
  for (const Segment& s : segments) std::fill(own.begin() + s.begin, own.begin() + s.end, int64_t{s.member});
  const at::Tensor columns = at::arange(members * rank, at::TensorOptions(device).dtype(at::kLong)).floor_divide(rank);
  return to_device(own, device).unsqueeze(1).ne(columns);
}

void joined_lowrank_forward(const at::Tensor& x, at::Tensor& y, const JoinedPairs& pairs, const at::Tensor& foreign) {
  y.addmm_(at::mm(x, pairs.a).masked_fill_(foreign, 0), pairs.b, 1, pairs.scale);
}

JoinedGrad joined_lowrank_backward(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx, const JoinedPairs& pairs,
                                   const at::Tensor& foreign) {
  const at::Tensor h = at::mm(x, pairs.a).masked_fill_(foreign, 0);
  const at::Tensor e = at::mm(dy, pairs.b.t()).masked_fill_(foreign, 0);
  if (dx.defined()) dx.addmm_(e, pairs.a.t(), 1, pairs.scale);
  return {wide_mm(x.t(), e), wide_mm(h.t(), dy)};
}

}  // namespace gaggle
