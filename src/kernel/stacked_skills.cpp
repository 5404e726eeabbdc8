#include "kernel/stacked_skills.h"

#include "kernel/dispatch.h"
#include "kernel/wide_product.h"

namespace gaggle {
namespace {

// [T, d] as [h, T, d/h], a view.
at::Tensor by_head(const at::Tensor& x, int64_t heads) {
  return x.view({x.size(0), heads, x.size(1) / heads}).transpose(0, 1);
}

struct Products {
  int64_t heads, skills, rank;
  at::Tensor a;  // [h, d_in/h, K·r]
  at::Tensor b;  // [h, K·r, d_out/h]
  at::Tensor w;  // [h, T, K, 1]

  Products(const StackedSkills& s, const at::Tensor& weights)
      : heads(s.a.size(0)),
        skills(s.a.size(1)),
        rank(s.a.size(3)),
        a(s.a.transpose(1, 2).reshape({heads, s.a.size(2), skills * rank})),
        b(s.b.reshape({heads, skills * rank, s.b.size(3)})),
        w(weights.transpose(0, 1).unsqueeze(3)) {}

  // [h, T, K·r] → [h, T, K, r] wide
  at::Tensor apart(const at::Tensor& products) const {
    return widened(products).view({heads, products.size(1), skills, rank});
  }
  // Σ over heads and skills of w · parts: [T, r]
  at::Tensor weighed(const at::Tensor& parts) const { return (parts * w).sum(at::IntArrayRef{0, 2}); }
  // w_qk · v: [T, r] wide → [h, T, K·r] of `type`
  at::Tensor spread(const at::Tensor& v, at::ScalarType type) const {
    return (w * v.unsqueeze(0).unsqueeze(2)).to(type).reshape({heads, v.size(0), skills * rank});
  }
};

}  // namespace

bool mixing_is_cheaper(double rows_per_mixture, at::ScalarType type, at::Device device) {
  // Values mixed per second against products: about 1 to 8 in fp32 on a CPU, 1 to 32 in bf16 with matrix units,
  // 1 to 256 on a GPU. Fixed numbers: nothing that is timed may decide about bits.
  const double limit = !device.is_cpu() ? 256 : type == at::kBFloat16 ? 32 : 8;
  return rows_per_mixture > limit;
}

void stacked_skills_forward(const at::Tensor& x, at::Tensor& y, const at::Tensor& w, const StackedSkills& skills) {
  const Products p(skills, w);
  const at::Tensor h = p.weighed(p.apart(at::bmm(by_head(x, p.heads), p.a)));
  at::Tensor y_by_head = by_head(y, p.heads);
  y_by_head.add_(at::bmm(p.spread(h, x.scalar_type()), p.b), skills.scale);
}

void stacked_skills_backward(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx, const at::Tensor& w,
                             const StackedSkills& skills, const StackedGrad& grad) {
  const Products p(skills, w);
  const at::Tensor xs = by_head(x, p.heads), dys = by_head(dy, p.heads);
  const at::Tensor h_parts = p.apart(at::bmm(xs, p.a));                   // x_q A_qk
  const at::Tensor e_parts = p.apart(at::bmm(dys, p.b.transpose(1, 2)));  // B_qk dy_q
  const at::Tensor h = p.weighed(h_parts), e = p.weighed(e_parts);        // [T, r]
  const at::Tensor we = p.spread(e, x.scalar_type());
  if (grad.a.defined()) {
    const at::Tensor d = wide_bmm(xs.transpose(1, 2), we);  // [h, d_in/h, K·r]
    grad.a.add_(d.view({p.heads, d.size(1), p.skills, p.rank}).transpose(1, 2), skills.scale);
  }
  if (grad.b.defined()) {
    const at::Tensor d = wide_bmm(p.spread(h, x.scalar_type()).transpose(1, 2), dys);  // [h, K·r, d_out/h]
    grad.b.add_(d.view(grad.b.sizes()), skills.scale);
  }
  if (grad.w.defined()) {
    const at::Tensor d = (h_parts * e.unsqueeze(0).unsqueeze(2) + e_parts * h.unsqueeze(0).unsqueeze(2)).sum(3);
    grad.w.add_(d.transpose(0, 1), skills.scale);
  }
  if (dx.defined()) {
    at::Tensor dx_by_head = by_head(dx, p.heads);
    dx_by_head.add_(at::bmm(we, p.a.transpose(1, 2)), skills.scale);
  }
}

}  // namespace gaggle
