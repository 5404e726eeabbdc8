// GPUs: which there are, how they reach each other, and whether every rank has one of its own.
#include <map>

#include "base/names.h"
#include "base/table.h"
#include "doctor/checks.h"
#include "doctor/odd_one.h"

namespace gaggle {
namespace {

std::string gpus_text(const RankFacts& rank) {
  if (rank.gpus.empty()) return "no GPU";
  const GpuFacts& gpu = rank.gpus[0];
  return fmt::format("{} {} with {} (compute {})", rank.gpus.size(), gpu.name, bytes_text(gpu.memory_bytes),
                     gpu.computes);
}

std::string links_text(const std::vector<GpuLink>& links) {
  std::map<GpuLink, int64_t> count;
  for (const GpuLink link : links) ++count[link];
  std::vector<std::string> parts;
  for (const auto& [link, pairs] : count)
    parts.push_back(fmt::format("{} {}", plural(pairs, "pair"),
                                link == GpuLink::nvlink ? "over NVLink"
                                : link == GpuLink::pcie ? "over PCIe"
                                                        : "through the host's memory"));
  return join(parts, ", ");
}

}  // namespace

ReportBlock gpu_block(const std::vector<RankFacts>& ranks, const std::vector<GpuLink>& links, bool share_device) {
  ReportBlock block{"GPUs"};
  std::vector<std::string> have, uses;
  std::map<std::string, std::vector<size_t>> users;  // by UUID
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const auto gpu = static_cast<size_t>(ranks[rank].gpu);
    have.push_back(gpus_text(ranks[rank]));
    uses.push_back(ranks[rank].has_gpu ? "a GPU" : "no GPU");
    if (ranks[rank].has_gpu && gpu < ranks[rank].gpus.size()) users[ranks[rank].gpus[gpu].uuid].push_back(rank);
  }
  const std::string odd = disagreement(hosts_of(ranks), have), without = disagreement(hosts_of(ranks), uses);
  block.add(warning_if(!odd.empty()), "seen", odd.empty() ? have[0] + (ranks[0].gpus.empty() ? "" : " a host") : odd);
  if (!without.empty())
    block.add(Severity::error, "in use", without + ": all ranks of a job compute on one kind of device");
  for (const auto& [uuid, sharers] : users)
    if (sharers.size() > 1)
      block.add(
          share_device ? Severity::warning : Severity::error, "shared",
          fmt::format("ranks {} and {} on {} compute on one GPU ({}){}", sharers[0], sharers[1], ranks[sharers[0]].host,
                      uuid, share_device ? "" : ": start fewer ranks, or set cluster.share_device"));
  if (!links.empty()) block.add(Severity::ok, "links", links_text(links) + " on " + ranks[0].host);
  block.add(Severity::note, "NCCL", ranks[0].nccl);
  return block;
}

}  // namespace gaggle
