// ggml's blocks → numbers by operators of LibTorch: what formats/gguf.h's dequantize does on processors, wherever the codes
// lie.
#pragma once

#include <ATen/ATen.h>

#include "formats/gguf.h"

namespace gaggle {

// codes [rows, bytes] uint8, whole blocks of this type → [rows, width] fp32, the bits of dequantize.
at::Tensor gguf_values(GgufType type, const at::Tensor& codes, int64_t width);

}  // namespace gaggle
