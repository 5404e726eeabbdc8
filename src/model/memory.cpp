#include "model/memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <string>

#include "base/control_group.h"
#include "base/error.h"
#include "base/table.h"

namespace gaggle {

MemoryNeed memory_need(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, BaseUse use,
                       Storage storage) {
  MemoryNeed need;
  const bool packed = packs(dtype, device);
  const int64_t copies = packed && use != BaseUse::inference ? 2 : 1;
  const auto size = static_cast<int64_t>(c10::elementSize(dtype));
  for (const WeightInfo& weight : checkpoint.weights()) {
    const int64_t count = count_of(weight.shape);
    if (const auto form = form_in_memory(storage, checkpoint, weight)) {
      need.linears += weight.shape[0] * (code_bytes(*form, weight.shape[1]) + 4 * scale_count(*form, weight.shape[1]));
      need.expanded = std::max(need.expanded, count * size);
    } else if (weight.name == "model.embed_tokens.weight" || weight.name == "shared.weight")
      need.embedding += count * size;
    else if (weight.name == "lm_head.weight")
      need.head += copies * count * size;
    else if (weight.shape.size() == 1 && weight.name.ends_with("norm.weight"))
      need.norms += count * std::max<int64_t>(size, 4);
    else
      need.linears += (weight.shape.size() == 2 ? copies : 1) * count * size;
    need.reading = std::max(need.reading, count * (device.is_cpu() ? 4 : 4 + size));
  }
  if (need.head == 0 && packed) need.head = copies * need.embedding;  // tied: beside the rows that embed
  return need;
}

int64_t free_memory(at::Device device) {
  if (device.is_cpu()) {
    const HostMemory memory = host_memory();
    return memory.all > 0 ? static_cast<int64_t>(memory.available) : -1;
  }
  return static_cast<int64_t>(c10::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).first);
}

void refuse_if_too_large(const MemoryNeed& need, int64_t available, at::ScalarType dtype, at::Device device,
                         const std::string& model) {
  const int64_t total = need.held() + (device.is_cpu() ? need.reading : 0);
  if (available < 0 || total <= available) return;
  const auto text = [](int64_t bytes) { return bytes_text(static_cast<uint64_t>(std::max<int64_t>(0, bytes))); };
  user_error(
      "model.path: {} does not fit in memory as {}: it needs {} "
      "(linears {}, embedding {}, head {}, norms {}, while reading {}), and {} is free on {}. {}",
      model, dtype == at::kBFloat16 ? "bf16" : "fp32", text(total), text(need.linears), text(need.embedding),
      text(need.head), text(need.norms), text(device.is_cpu() ? need.reading : 0), text(available), device.str(),
      dtype == at::kBFloat16 ? "Choose a smaller model or a machine with more memory"
                             : "Set model.dtype = \"bf16\" (half of it), or choose a smaller model");
}

}  // namespace gaggle
