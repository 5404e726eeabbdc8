// The gate's v rides through every product as one more row of A: its logits come out of the same product as h,
// and its gradient out of the same product as dA. Six products a segment, all of width r or r + 1; bf16 has a loop of
// its own where the processor multiplies it (kernel/lowrank_rows).
#include "kernel/segmented_lowrank.h"

#include <ATen/core/LegacyTypeDispatch.h>

#include "base/error.h"
#include "kernel/dispatch.h"
#include "kernel/lowrank_rows.h"

namespace gaggle {
namespace {

bool absent(const LowRank& member) { return !member.a.defined() || member.a.size(0) == 0; }

const LowRank& member_of(const Segment& segment, std::span<const LowRank> members) {
  GAGGLE_CHECK(segment.member >= 0 && static_cast<size_t>(segment.member) < members.size(),
               "segment of member {} among {}", segment.member, members.size());
  return members[static_cast<size_t>(segment.member)];
}

// [A; v], [r + 1, d_in] in the rows' dtype; A alone without a gate.
at::Tensor with_gate(const LowRank& member) {
  if (!member.gate.defined()) return member.a;
  return at::cat({member.a, member.gate.to(member.a.scalar_type()).unsqueeze(0)});
}

struct Hidden {
  at::Tensor h;   // [n, r] A x
  at::Tensor g;   // [n, 1] wide; undefined without a gate
  at::Tensor gh;  // [n, r] g∘h in the rows' dtype
};

Hidden hidden(const at::Tensor& x, const at::Tensor& a_and_gate, const LowRank& member) {
  const at::Tensor all = at::mm(x, a_and_gate.t());
  if (!member.gate.defined()) return {all, {}, all};
  const int64_t r = member.a.size(0);
  const at::Tensor h = all.narrow(1, 0, r), g = widened(all.narrow(1, r, 1)).sigmoid_();
  return {h, g, widened(h).mul(g).to(x.scalar_type())};
}

// to [n, m] += scale · left · right, in the layout that `to` has.
void add_product(at::Tensor to, const at::Tensor& left, const at::Tensor& right, double scale) {
  if (to.is_contiguous())
    to.add_(at::mm(left, right), scale);
  else
    to.t().add_(at::mm(right.t(), left.t()), scale);
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
    const Hidden inner = hidden(xs, a, member);
    ys.addmm_(inner.gh, member.b.t(), 1, member.scale);
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
    Hidden inner;
    if (gated || grad.b.defined()) inner = hidden(xs, a_and_gate, member);
    if (grad.b.defined()) add_product(grad.b, dys.t(), inner.gh, member.scale);
    if (gated) {
      // [n, r + 1]: scale·(g∘e), and dg·g(1-g), which is the gradient of the gate's logit.
      const at::Tensor wide_e = widened(e).mul_(member.scale);
      const at::Tensor dg = wide_e.mul(inner.h).sum(1, /*keepdim=*/true);
      e = at::cat({wide_e.mul(inner.g), dg.mul_(inner.g).mul_(1 - inner.g)}, 1).to(x.scalar_type());
    }
    const double left = gated ? 1 : member.scale;
    if (grad.gate.defined()) {
      const at::Tensor rows = at::mm(e.t(), xs);  // dA, and dv below it
      if (grad.a.defined()) grad.a.add_(rows.narrow(0, 0, r), left);
      grad.gate.add_(rows[r]);
    } else if (grad.a.defined()) {
      add_product(grad.a, e.narrow(1, 0, r).t(), xs, left);
    }
    if (dx.defined()) dxs.addmm_(e, a_and_gate, 1, left);
  }
}

}  // namespace gaggle
