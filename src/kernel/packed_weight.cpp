#include "kernel/packed_weight.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <initializer_list>
#include <optional>

#include "base/error.h"

namespace gaggle {
namespace {

using Operator = std::optional<c10::OperatorHandle>;

struct Operators {
  Operator reorder, multiply, multiply_add;
  bool take_bf16 = false;  // a processor of AVX2 alone has no packed products of bf16, and its reorder throws
};

const Operators& operators() {
  const auto find = [](const char* name, const char* overload) {
    return c10::Dispatcher::singleton().findSchema({name, overload});
  };
  static const Operators found = [&] {
    const Operator supported = find("mkldnn::_is_mkldnn_bf16_supported", "");
    torch::jit::Stack answer;
    if (supported) supported->callBoxed(answer);
    return Operators{find("mkldnn::_reorder_linear_weight", ""), find("mkldnn::_linear_pointwise", ""),
                     find("mkldnn::_linear_pointwise", "binary"), supported && answer.front().toBool()};
  }();
  return found;
}

// By values of any type, so that a changed default or integer type of another LibTorch does not matter.
at::Tensor call(const Operator& op, std::initializer_list<c10::IValue> arguments) {
  torch::jit::Stack stack(arguments);
  op->callBoxed(stack);
  GAGGLE_CHECK(stack.size() == 1);
  return stack.front().toTensor();
}

c10::IValue optional(const at::Tensor& x) { return x.defined() ? c10::IValue(x) : c10::IValue(); }

}  // namespace

bool packs(at::ScalarType dtype, at::Device device) {
  const Operators& ops = operators();
  return device.is_cpu() && dtype == at::kBFloat16 && ops.take_bf16 && at::globalContext().userEnabledMkldnn() &&
         ops.reorder && ops.multiply && ops.multiply_add;
}

PackedWeight::PackedWeight(const at::Tensor& weight) : weight_(weight) {
  GAGGLE_CHECK(weight.dim() == 2);
  if (packs(weight.scalar_type(), weight.device()))
    weight_ = call(operators().reorder, {weight.contiguous(), c10::IValue()});
}

at::Tensor PackedWeight::multiply(const at::Tensor& x, const at::Tensor& bias) const {
  if (weight_.is_mkldnn()) {
    const c10::impl::GenericList no_scalars(c10::OptionalType::create(c10::NumberType::get()));
    return call(operators().multiply, {x, weight_, optional(bias), "none", no_scalars, c10::IValue()});
  }
  return bias.defined() ? at::addmm(bias, x, weight_.t()) : at::mm(x, weight_.t());
}

at::Tensor PackedWeight::multiply_add(const at::Tensor& x, at::Tensor y) const {
  if (weight_.is_mkldnn()) return call(operators().multiply_add, {x, y, weight_, c10::IValue(), "add"});
  return y.addmm_(x, weight_.t());
}

}  // namespace gaggle
