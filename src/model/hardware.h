// What the hardware computes with.
#pragma once

#include <ATen/ATen.h>

#include <string>

namespace gaggle {

// model.dtype: fp32, bf16, or auto: bf16 where the hardware multiplies it fast (GPU, AMX, AVX512-BF16).
at::ScalarType resolve_dtype(const std::string& dtype, at::Device device);
std::string hardware_text(at::Device device, at::ScalarType dtype);  // "cpu bf16 (AMX)"

}  // namespace gaggle
