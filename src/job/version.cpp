#include "job/version.h"

#include <vector>

#include "base/error.h"
#include "comm/mpi_job.h"
#include "comm/nccl.h"
#include "job/placement.h"
#include "kernel/built.h"
#include "model/hardware.h"

namespace gaggle {
namespace {

std::string cuda_text() {
  const std::string version = cuda_version();
  return version.empty() ? "not built in: this gaggle computes on processors alone" : version;
}

std::string nccl_words() {
  if (nccl_version() > 0) return nccl_text(nccl_version()).substr(5);
  return cuda_version().empty() ? "not built in" : nccl_complaint();
}

// Those that the program has code of its own for; what LibTorch chooses for its products it chooses by itself.
std::string fast_on() {
#if defined(__x86_64__)
  const std::string processors = "x86-64 with AMX or AVX512-BF16 (bf16), AVX-512 or AVX2 (fp32)";
#elif defined(__aarch64__)
  const std::string processors = "Arm with NEON (fp32)";
#else
  const std::string processors = "fp32";
#endif
  return (cuda_version().empty() ? "" : "GPUs of compute capability 8.0 and more (bf16); ") + processors;
}

}  // namespace

std::string version_block() {
  const std::string mpi = mpi_library_version();
  const std::string here = hardware_text(at::kCPU, resolve_dtype("auto", at::kCPU));
  const std::vector<std::pair<const char*, std::string>> lines = {{"LibTorch", GAGGLE_TORCH_VERSION},
                                                                  {"MPI", mpi == "no MPI" ? "not built in" : mpi},
                                                                  {"CUDA", cuda_text()},
                                                                  {"NCCL", nccl_words()},
                                                                  {"fast on", fast_on()},
                                                                  {"here", here}};
  std::string text = "gaggle " GAGGLE_VERSION "\n";
  for (const auto& [name, words] : lines) text += fmt::format("{:<9} {}\n", name, words);
  text.pop_back();
  return text;
}

}  // namespace gaggle
