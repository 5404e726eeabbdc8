// What a base needs in memory, and the refusal when it is not there.
#pragma once

#include <ATen/ATen.h>

#include "formats/checkpoint.h"
#include "model/frozen_linear.h"

namespace gaggle {

struct MemoryNeed {
  int64_t linears = 0, embedding = 0, head = 0, norms = 0;  // bytes held
  int64_t gathered = 0;                                     // of a base that ranks share: the units that lie here whole
  int64_t expanded = 0;  // the largest matrix that a product wants otherwise than it is held
  int64_t reading = 0;   // bytes of host memory on top while loading: the largest tensors as fp32
  int64_t at_rest() const { return linears + embedding + head + norms; }  // between passes
  int64_t held() const { return at_rest() + gathered + expanded; }
};

// `ranks`: that share the base; of each.
MemoryNeed memory_need(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, BaseUse use,
                       Storage storage = Storage::dtype, int ranks = 1);

// Bytes free on the device (CPU: base/control_group.h's); -1: not known.
int64_t free_memory(at::Device device);

// Throws UserError with the bytes by kind and the key to change when `need` is more than `available`.
void refuse_if_too_large(const MemoryNeed& need, int64_t available, at::ScalarType dtype, at::Device device,
                         const std::string& model);

}  // namespace gaggle
