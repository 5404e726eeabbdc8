#include "model/hardware.h"

#include <ATen/cpu/Utils.h>

#include "base/error.h"

namespace gaggle {
namespace {

bool cpu_has(const char* capability) {
  const auto all = at::cpu::get_cpu_capabilities();
  const auto found = all.find(capability);
  return found != all.end() && found->second.isBool() && found->second.toBool();
}

}  // namespace

at::ScalarType resolve_dtype(const std::string& dtype, at::Device device) {
  if (dtype == "fp32") return at::kFloat;
  if (dtype == "bf16") return at::kBFloat16;
  if (dtype != "auto") user_error("model.dtype = \"{}\": expected auto, fp32 or bf16", dtype);
  return !device.is_cpu() || cpu_has("amx_bf16") || cpu_has("avx512_bf16") ? at::kBFloat16 : at::kFloat;
}

std::string hardware_text(at::Device device, at::ScalarType dtype) {
  const std::string type = dtype == at::kBFloat16 ? "bf16" : dtype == at::kFloat ? "fp32" : "fp64";
  if (!device.is_cpu()) return fmt::format("{} {}", device.str(), type);
  const char* unit = "no vector unit known";
  if (dtype == at::kBFloat16 && cpu_has("amx_bf16"))
    unit = "AMX";
  else if (dtype == at::kBFloat16 && cpu_has("avx512_bf16"))
    unit = "AVX512-BF16";
  else if (cpu_has("avx512_f"))
    unit = "AVX-512";
  else if (cpu_has("avx2"))
    unit = "AVX2";
  else if (cpu_has("neon"))
    unit = "NEON";
  return fmt::format("cpu {} ({})", type, unit);
}

}  // namespace gaggle
