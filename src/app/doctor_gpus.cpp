// GPUs: which there are, how they reach each other, and whether every rank has one of its own.
#include <map>
#include <set>

#include "app/doctor_checks.h"
#include "job/placement.h"
#include "base/table.h"
#include "base/table.h"
#include "cluster/odd_one.h"
#include "comm/nccl.h"

namespace gaggle {
namespace {

std::string gpus_text(const RankFacts& rank) {
  if (rank.gpus.empty()) return "no GPU";
  const GpuFacts& gpu = rank.gpus[0];
  return fmt::format("{} {} with {} (compute {})", rank.gpus.size(), gpu.name, bytes_text(gpu.memory_bytes),
                     gpu.computes);
}

std::string links_text(const std::vector<std::vector<GpuLink>>& links) {
  std::map<GpuLink, size_t> count;
  for (size_t a = 0; a < links.size(); ++a)
    for (size_t b = a + 1; b < links.size(); ++b) ++count[links[a][b]];
  std::string text;
  for (const auto& [link, n] : count)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", plural(n, "pair"),
                        link == GpuLink::nvlink ? "over NVLink"
                        : link == GpuLink::pcie ? "over PCIe"
                                                : "through the host's memory");
  return text;
}

}  // namespace

std::string nccl_version_text() {
  return nccl_version() > 0 ? nccl_text(nccl_version()) : nccl_complaint();
}

std::vector<std::vector<GpuLink>> measure_gpu_links(const std::vector<GpuFacts>& gpus) {
  std::vector<std::vector<GpuLink>> links(gpus.size(),
                                          std::vector<GpuLink>(gpus.size(), GpuLink::through_host));
  for (size_t a = 0; a < gpus.size(); ++a)
    for (size_t b = 0; b < gpus.size(); ++b)
      if (a != b) links[a][b] = gpu_link(static_cast<int>(a), static_cast<int>(b));
  return links;
}

ReportBlock gpu_block(const std::vector<RankFacts>& ranks, const std::vector<std::vector<GpuLink>>& links,
                      bool share_device) {
  ReportBlock block{"GPUs", {}};
  std::vector<std::string> have, uses;
  std::map<std::string, std::vector<size_t>> users;  // by UUID
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    have.push_back(gpus_text(ranks[rank]));
    uses.push_back(ranks[rank].has_gpu ? "a GPU" : "no GPU");
    if (ranks[rank].has_gpu && static_cast<size_t>(ranks[rank].gpu) < ranks[rank].gpus.size())
      users[ranks[rank].gpus[static_cast<size_t>(ranks[rank].gpu)].uuid].push_back(rank);
  }
  const std::string odd = disagreement(hosts_of(ranks), have), without = disagreement(hosts_of(ranks), uses);
  block.add(odd.empty() ? Mark::ok : Mark::look, "seen",
            odd.empty() ? have[0] + (ranks[0].gpus.empty() ? "" : " a host") : odd);
  if (!without.empty())
    block.add(Mark::wrong, "in use", without + ": all ranks of a job compute on one kind of device");
  for (const auto& [uuid, sharers] : users)
    if (sharers.size() > 1)
      block.add(share_device ? Mark::look : Mark::wrong, "shared",
                fmt::format("ranks {} and {} on {} compute on one GPU ({}){}", sharers[0], sharers[1],
                            ranks[sharers[0]].host.host, uuid,
                            share_device ? "" : ": start fewer ranks, or set cluster.share_device"));
  if (links.size() > 1)
    block.add(Mark::ok, "links", links_text(links) + fmt::format(" on {}", ranks[0].host.host));
  block.add(Mark::none, "NCCL", nccl_version_text());
  return block;
}

}  // namespace gaggle
