// The gate's v rides through every product as one more row of A: v·x comes out of the same product as h,
// and its gradient out of the same product as dA. Six products a segment, all of width r or r + 1; bf16 has a loop of
// its own where the processor multiplies it (kernel/lowrank_rows).
#include "kernel/segmented_lowrank.h"

#include <ATen/core/LegacyTypeDispatch.h>

#include "base/error.h"
#include "kernel/dispatch.h"
#include "kernel/lowrank_rows.h"
#include "kernel/row_gate.h"
#include "kernel/wide_product.h"

namespace gaggle {
namespace {

bool absent(const LowRank& member) { return !member.a.defined() || member.a.size(0) == 0; }

const LowRank& member_of(const Segment& segment, std::span<const LowRank> members) {
  GAGGLE_CHECK(segment.member >= 0 && static_cast<size_t>(segment.member) < members.size(),
               "segment of member {} among {}", segment.member, members.size());
  return members[static_cast<size_t>(segment.member)];
}

// [A; v], at least [r + 1, d_in], in the rows' dtype; A alone without a gate.
at::Tensor with_gate(const LowRank& member) {
  if (!member.gate.defined()) return member.a;
  if (member.a_and_gate.defined()) return member.a_and_gate;
  return at::cat({member.a, member.gate.to(member.a.scalar_type()).unsqueeze(0)});
}

}  // namespace

void segmented_lowrank_forward(const at::Tensor& x, at::Tensor& y, std::span<const Segment> segments,
                               std::span<const LowRank> members) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  for (const Segment& segment : segments) {
    const LowRank& member = member_of(segment, members);
    const int64_t n = segment.end - segment.begin;
    if (n == 0 || absent(member)) continue;
    const at::Tensor xs = x.narrow(0, segment.begin, n), ys = y.narrow(0, segment.begin, n), a = with_gate(member);
    if (takes_lowrank_rows(xs, ys, {}, member.a.size(0))) {
      lowrank_rows_forward(xs, ys, member, a);
      continue;
    }
    const at::Tensor h = at::mm(xs, a.t());
    const at::Tensor gh = member.gate.defined() ? row_gated(h, member.a.size(0), member.gate_bias) : h;
    ys.addmm_(gh, member.b.t(), 1, member.scale);
  }
}

void segmented_lowrank_backward(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx,
                                std::span<const Segment> segments, std::span<const LowRank> members,
                                std::span<const LowRankGrad> grads) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  GAGGLE_CHECK(grads.size() == members.size());
  for (const Segment& segment : segments) {
    const LowRank& member = member_of(segment, members);
    const LowRankGrad& grad = grads[static_cast<size_t>(segment.member)];
    const int64_t n = segment.end - segment.begin;
    if (n == 0 || absent(member)) continue;
    const at::Tensor xs = x.narrow(0, segment.begin, n), dys = dy.narrow(0, segment.begin, n);
    const at::Tensor dxs = dx.defined() ? dx.narrow(0, segment.begin, n) : dx;
    const at::Tensor a_and_gate = with_gate(member);
    if (takes_lowrank_rows(xs, dys, dxs, member.a.size(0))) {
      lowrank_rows_backward(xs, dys, dxs, member, a_and_gate, grad);
      continue;
    }
    const int64_t r = member.a.size(0);
    const bool gated = member.gate.defined();

    at::Tensor e = at::mm(dys, member.b);  // [n, r]
    at::Tensor h;
    if (gated || grad.b.defined()) h = at::mm(xs, a_and_gate.t());
    if (grad.b.defined()) add_wide_mm(grad.b, dys.t(), gated ? row_gated(h, r, member.gate_bias) : h, member.scale);
    if (gated) e = row_gate_backward(h, e, member.scale, member.gate_bias);
    const double left = gated ? 1 : member.scale;
    if (grad.gate.defined()) {
      // dA, and dv below it.
      const at::Tensor rows = wide_mm(e.t(), xs);
      if (grad.a.defined()) grad.a.add_(rows.narrow(0, 0, r), left);
      grad.gate.add_(rows[r]);
    } else if (grad.a.defined()) {
      add_wide_mm(grad.a, e.narrow(1, 0, r).t(), xs, left);
    }
    if (dx.defined()) dxs.addmm_(e, a_and_gate, 1, left);
  }
}

}  // namespace gaggle
