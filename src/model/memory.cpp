#include "model/memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/control_group.h"
#include "base/error.h"
#include "base/table.h"
#include "model/weights.h"

namespace gaggle {
namespace {

int64_t stored_bytes(const RowForm& form, const WeightInfo& weight) {
  return weight.shape[0] * (code_bytes(form, weight.shape[1]) + 4 * scale_count(form, weight.shape[1]));
}

MemoryNeed need_of_part(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, Storage storage,
                        int ranks) {
  MemoryNeed need;
  std::map<std::string, int64_t> units;
  const auto size = static_cast<int64_t>(c10::elementSize(dtype));
  for (const WeightInfo& weight : checkpoint.weights()) {
    const int64_t plain = count_of(weight.shape) * size;
    need.reading = std::max(need.reading, plain / size * 4 + plain);
    if (!goes_in_parts(weight)) {
      need.norms += count_of(weight.shape) * std::max<int64_t>(size, 4);
      continue;
    }
    const auto form = form_in_memory(storage, checkpoint, weight);
    const int64_t bytes = form ? stored_bytes(*form, weight) : plain;
    (is_linear_weight(weight)          ? need.linears
     : weight.name == "lm_head.weight" ? need.head
                                       : need.embedding) += (bytes + ranks - 1) / ranks;
    units[unit_of_weight(weight.name)] += bytes;
    // In few bits it is expanded; else laid out anew on processors that want it so, its transpose being made before.
    if (form || packs(dtype, device)) need.expanded = std::max(need.expanded, form ? plain : 2 * plain);
  }
  std::vector<int64_t> largest;
  for (const auto& [name, bytes] : units) largest.push_back(bytes);
  std::ranges::sort(largest, std::greater());
  // One that was let go stays with the allocator while the next one comes.
  for (size_t i = 0; i < std::min(WeightShards::most_held + 1, largest.size()); ++i) need.gathered += largest[i];
  return need;
}

}  // namespace

MemoryNeed memory_need(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, BaseUse use,
                       Storage storage, int ranks) {
  if (ranks > 1) return need_of_part(checkpoint, dtype, device, storage, ranks);
  MemoryNeed need;
  const bool packed = packs(dtype, device);
  const int64_t copies = packed && use != BaseUse::inference ? 2 : 1;
  const auto size = static_cast<int64_t>(c10::elementSize(dtype));
  for (const WeightInfo& weight : checkpoint.weights()) {
    const int64_t count = count_of(weight.shape);
    if (const auto form = form_in_memory(storage, checkpoint, weight)) {
      need.linears += stored_bytes(*form, weight);
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
      "(linears {}, embedding {}, head {}, norms {}, gathered or expanded {}, while reading {}), and {} is free on {}. {}",
      model, dtype == at::kBFloat16 ? "bf16" : "fp32", text(total), text(need.linears), text(need.embedding),
      text(need.head), text(need.norms), text(need.gathered + need.expanded), text(device.is_cpu() ? need.reading : 0),
      text(available), device.str(),
      dtype == at::kBFloat16 ? "Choose a smaller model or a machine with more memory"
                             : "Set model.dtype = \"bf16\" (half of it), or choose a smaller model");
}

}  // namespace gaggle
