#include "job/placement.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "comm/mpi_job.h"
#include "comm/nccl_backend.h"
#include "kernel/dispatch.h"
#include "kernel/gpus.h"

namespace gaggle {
namespace {

constexpr int first_with_shared_gpus = 23000;

// "": every rank has a GPU, or none has.
std::string without_gpu(std::span<const RankPlace> places) {
  const auto has = [](const RankPlace& place) { return !place.gpu.empty(); };
  const auto with = std::ranges::find_if(places, has);
  const auto without = std::ranges::find_if_not(places, has);
  if (with == places.end() || without == places.end()) return "";
  return fmt::format(
      "rank {} on {} has no GPU, but rank {} on {} has one: start at most as many ranks on a host as it has "
      "GPUs, or set run.device = \"cpu\"",
      without - places.begin(), without->host, with - places.begin(), with->host);
}

// "": every rank has a GPU of its own.
std::string shared_gpu(std::span<const RankPlace> places) {
  std::map<std::string, size_t> owners;
  for (size_t rank = 0; rank < places.size(); ++rank) {
    const auto [owner, first] = owners.emplace(places[rank].gpu, rank);
    if (!first)
      return fmt::format("ranks {} and {} on {} have the same GPU ({})", owner->second, rank, places[rank].host,
                         places[rank].gpu);
  }
  return "";
}

std::string why_not_nccl(std::span<const RankPlace> places, bool shared) {
  for (size_t rank = 0; rank < places.size(); ++rank) {
    const RankPlace& place = places[rank];
    if (place.nccl == 0) return fmt::format("rank {} on {}: {}", rank, place.host, place.complaint);
    if (place.nccl != places[0].nccl)
      return fmt::format("rank 0 on {} has {}, rank {} on {} has {}: install the same everywhere", places[0].host,
                         nccl_text(places[0].nccl), rank, place.host, nccl_text(place.nccl));
    if (shared && (place.nccl < first_with_shared_gpus || !place.multi_rank_gpu))
      return fmt::format(
          "ranks share a GPU, which takes NCCL 2.30 and NCCL_MULTI_RANK_GPU_ENABLE=1 (rank {} on {} has {}{})", rank,
          place.host, nccl_text(place.nccl), place.multi_rank_gpu ? "" : ", and the variable is not set");
  }
  return "";
}

RankPlace place_of(const Session& session) {
  RankPlace place{.host = session.identity.host};
  if (session.device.is_cpu()) return place;
  place.gpu = visible_gpus().at(static_cast<size_t>(session.device.index())).uuid;
  place.nccl = nccl_version();
  place.complaint = nccl_complaint();
  const char* const several = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  place.multi_rank_gpu = several && std::string_view(several) == "1";
  return place;
}

std::vector<RankPlace> all_places(const Session& session) {
  const RankPlace mine = place_of(session);
  const nlohmann::json text = {mine.host, mine.gpu, mine.nccl, mine.multi_rank_gpu, mine.complaint};
  std::vector<RankPlace> places;
  for (const std::string& each : session.world->all_gather_text(text.dump())) {
    const auto said = parse_json(each);
    places.push_back({said[0], said[1], said[2], said[3], said[4]});
  }
  return places;
}

}  // namespace

std::string nccl_text(int version) {
  return fmt::format("NCCL {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

DataPath choose_data_path(const Config& config, std::span<const RankPlace> places) {
  if (const std::string wrong = without_gpu(places); !wrong.empty()) user_error("{}", wrong);
  const bool demanded = config.comm.backend == "nccl";
  if (places[0].gpu.empty()) {
    if (demanded)
      user_error("comm.backend = \"nccl\", but rank 0 on {} has no GPU: use \"auto\" or \"mpi\"", places[0].host);
    return {};
  }
  const std::string shared = shared_gpu(places);
  if (!shared.empty() && !config.cluster.share_device)
    user_error("{}: start fewer ranks on this host, or set cluster.share_device = true", shared);
  if (config.comm.backend == "mpi") return {};
  const std::string missing = why_not_nccl(places, !shared.empty());
  if (demanded && !missing.empty()) user_error("comm.backend = \"nccl\" cannot be had: {}", missing);
  return {missing.empty(), missing};
}

void connect_devices(Session& session, const Config& config) {
  const std::vector<RankPlace> places = all_places(session);
  const DataPath path = choose_data_path(config, places);
  if (session.world->size() == 1 || session.device.is_cpu()) return;
  if (session.identity.rank == 0) {
    if (path.nccl)
      log::info("ranks: tensors travel from GPU to GPU over {}", nccl_text(places[0].nccl));
    else if (path.because.empty())
      log::info("ranks: tensors travel through the hosts' memory (comm.backend = \"mpi\")");
    else
      log::warning("ranks: tensors travel through the hosts' memory, which is slower: {}", path.because);
  }
  if (!path.nccl) return;
  // The watchdog, which knows where every rank is, comes first.
  constexpr double later_s = 10;
  NcclOptions options{config.comm.first_timeout_s + later_s, config.comm.timeout_s + later_s, {}, end_mpi_job};
  options.compute_stream = [device = session.device] { return static_cast<GpuStream*>(current_stream(device)); };
  session.world = with_device(std::move(session.world), nccl_tables(session.device.index()), std::move(options));
}

}  // namespace gaggle
