// For operators that the fallback to the CPU does not have.
#pragma once

#include <ATen/ATen.h>

#include <string>

namespace gaggle::fake_gpu {

// While it lives, copies are the operator's own and count as nothing.
class Operator {
 public:
  Operator(const std::string& name, int64_t launches);
  ~Operator();
  Operator(const Operator&) = delete;
  Operator& operator=(const Operator&) = delete;

 private:
  bool outermost_;
};

at::Tensor to_host(const at::Tensor& x);
at::Tensor to_device(const at::Tensor& x, const at::Tensor& like);

}  // namespace gaggle::fake_gpu
