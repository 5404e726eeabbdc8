#include "job/speeds.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/long_phase.h"
#include "base/names.h"
#include "base/pulse.h"
#include "base/sha256.h"
#include "job/inputs.h"
#include "job/machine.h"
#include "train/recipe.h"

namespace gaggle {
namespace {

constexpr double assumed_share = 0.5;
constexpr double most_remembered_s = 600;
// By the assumption, which is far too good for a tiny model. A job that is shorter would notice what measuring costs.
constexpr double worth_measuring_s = 2;
// For all kinds together: a share of what the job may take, so that long jobs try batches as they are, not small pieces. Of
// short jobs a larger one, up to these seconds.
constexpr double measuring_share = 0.05, share_of_short = 0.2, least_measuring_s = 2, most_measuring_s = 10;

nlohmann::json work_json(const JobContext& context, const std::string& kind) {
  return {{"base", context.base.content_digest()},
          {"dtype", dtype_text(context.base.dtype())},
          {"machine", machine_of(context.session)},
          {"work", kind + (context.base.recomputes_layers() ? ", layers computed again" : "")}};
}

fs::path file_of(const JobContext& context, const nlohmann::json& work) {
  return fs::path(cache_folder(context.config)) / "speeds" / (sha256_hex(work.dump()).substr(0, 32) + ".json");
}

void keep_speed(const JobContext& context, const std::string& kind, KnownSpeed now) {
  const nlohmann::json work = work_json(context, kind);
  const KnownSpeed all = merged(read_speed(context, kind).value_or(KnownSpeed{}), now);
  const fs::path file = file_of(context, work);
  nlohmann::ordered_json json = work;
  json["flops_per_s"] = all.flops_per_s;
  json["seconds"] = all.seconds;
  fs::create_directories(file.parent_path());
  write_file_atomic(file, json.dump(1) + "\n");
}

double seconds_of(const Job& job, size_t item, double flops_per_s) {
  return job.work[item].flops / (flops_per_s * job.ranks_per_item);
}

// What the first rank sees, which all ranks go by: they must agree on what they measure together.
struct Outset {
  double assumed = 0;  // FLOP per second of one rank
  RatesByKind earlier;
  std::vector<size_t> open, tried;  // places of items
  double measuring_s = 0;           // for those that are tried, all together
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Outset, assumed, earlier, open, tried, measuring_s)

// One open item of each kind that is not known, the longest; the kind that takes longest first. And the time for them.
void choose_items_to_try(const JobContext& context, const Job& job, Outset& outset) {
  std::map<std::string, std::pair<double, size_t>> unknown;  // by kind: seconds, and the longest item
  double all = 0;
  for (const size_t item : outset.open) {
    if (outset.earlier.contains(job.work[item].kind)) continue;
    const double seconds = seconds_of(job, item, outset.assumed);
    auto& [sum, longest] = unknown.try_emplace(job.work[item].kind, 0.0, item).first->second;
    if (job.work[item].flops > job.work[longest].flops) longest = item;
    sum += seconds, all += seconds;
  }
  all /= worker_count(job, context.session);
  if (!job.try_out || all < worth_measuring_s) return;
  outset.measuring_s =
      std::clamp(measuring_share * all, std::min(least_measuring_s, share_of_short * all), most_measuring_s);
  std::vector<std::pair<double, size_t>> kinds;
  for (const auto& [kind, seconds_and_item] : unknown) kinds.push_back(seconds_and_item);
  std::ranges::sort(kinds, std::greater());
  for (const auto& [seconds, item] : kinds) outset.tried.push_back(item);
}

Outset look(const JobContext& context, const Job& job) {
  Outset outset{assumed_share * std::max(1.0, context.gemm_flops), {}, {}, {}, 0};
  std::set<std::string> kinds;
  for (size_t item = 0; item < job.items.size(); ++item) {
    if (job.result(job.items[item])) continue;
    outset.open.push_back(item);
    if (!kinds.insert(job.work[item].kind).second) continue;
    if (const auto known = read_speed(context, job.work[item].kind))
      outset.earlier[job.work[item].kind] = known->flops_per_s;
  }
  choose_items_to_try(context, job, outset);
  return outset;
}

// FLOP per second; 0: it could not be tried. The smallest piece says how large two of `seconds` are. The first of these finds
// memory that nothing has touched yet, which can cost as much as the step itself: the second counts. An item that fails here
// fails in the job too, where that is seen to.
double rate_of_item(const Job& job, size_t item, double seconds) {
  try {
    const double begun = monotonic_seconds(), rate = job.try_out(item, 0);
    const double spent = monotonic_seconds() - begun, left = seconds - spent;
    if (left <= spent) return rate;
    job.try_out(item, rate * left / 2);
    return job.try_out(item, rate * left / 2);
  } catch (const std::exception& error) {
    log::info("{}: how fast it will go is not known: {}", job.items[item].name, error_text(error));
    return 0;
  }
}

// While all ranks are busy, as they are later.
RatesByKind measure(const JobContext& context, const Job& job, const Outset& outset) {
  Communicator& world = *context.session.world;
  world.barrier();
  const double begun = monotonic_seconds();
  const double seconds = outset.measuring_s / static_cast<double>(outset.tried.size());
  std::vector<double> mine(outset.tried.size(), 0);
  LongPhase phase("short steps, to see how fast they go", static_cast<double>(mine.size()));
  for (size_t i = 0; i < mine.size() && monotonic_seconds() - begun < outset.measuring_s; ++i) {
    pulse("short steps", static_cast<int64_t>(i));
    mine[i] = rate_of_item(job, outset.tried[i], seconds);
    phase.add();
  }
  const std::vector<double> all = gather_values(world, mine);
  RatesByKind rates;
  for (size_t i = 0; i < mine.size(); ++i) {
    double sum = 0, ranks = 0;
    for (size_t at = i; at < all.size(); at += mine.size())
      if (all[at] > 0) sum += all[at], ++ranks;
    if (ranks > 0) rates[job.work[outset.tried[i]].kind] = sum / ranks;
  }
  return rates;
}

std::string source_text(const std::set<SpeedSource>& sources, double measuring_s) {
  std::vector<std::string> words;
  if (sources.contains(SpeedSource::earlier)) words.push_back("as in earlier runs here");
  if (sources.contains(SpeedSource::measured))
    words.push_back(fmt::format("measured: short steps now, {:.1f} s", measuring_s));
  if (sources.contains(SpeedSource::assumed))
    words.push_back(fmt::format("assumed: {:.0f}% of the GEMM rate", 100 * assumed_share));
  return join(words, "; ");
}

}  // namespace

KnownSpeed merged(KnownSpeed before, KnownSpeed now) {
  before.seconds = std::min(before.seconds, most_remembered_s);
  const double seconds = before.seconds + now.seconds;
  if (seconds <= 0) return {};
  return {(before.flops_per_s * before.seconds + now.flops_per_s * now.seconds) / seconds, seconds};
}

std::optional<KnownSpeed> read_speed(const JobContext& context, const std::string& kind) {
  const fs::path file = file_of(context, work_json(context, kind));
  std::error_code failed;
  if (cache_folder(context.config).empty() || !fs::is_regular_file(file, failed)) return std::nullopt;
  try {
    const nlohmann::json json = parse_json(read_file(file));
    const KnownSpeed known{json.at("flops_per_s"), json.at("seconds")};
    if (known.flops_per_s > 0 && known.seconds > 0) return known;
  } catch (const std::exception&) {  // damaged or unreadable: as good as absent
  }
  return std::nullopt;
}

void keep_speeds(const JobContext& context, const std::map<std::string, KnownSpeed>& speeds) {
  static bool warned = false;
  if (cache_folder(context.config).empty()) return;
  try {
    for (const auto& [kind, speed] : speeds) keep_speed(context, kind, speed);
  } catch (const std::exception& error) {
    if (!warned) log::warning("what this run took is not kept for the next plan: {}", error_text(error));
    warned = true;
  }
}

Speed choose_speed(const std::string& kind, const RatesByKind& earlier, const RatesByKind& measured, double assumed) {
  if (const auto known = earlier.find(kind); known != earlier.end()) return {known->second, SpeedSource::earlier};
  if (const auto known = measured.find(kind); known != measured.end()) return {known->second, SpeedSource::measured};
  const RatesByKind& others = measured.empty() ? earlier : measured;
  if (others.empty()) return {assumed, SpeedSource::assumed};
  double sum = 0;
  for (const auto& [other, rate] : others) sum += rate;
  return {sum / static_cast<double>(others.size()), measured.empty() ? SpeedSource::earlier : SpeedSource::measured};
}

ExpectedCosts expect_costs(const JobContext& context, Job& job) {
  Communicator& world = *context.session.world;
  const std::string seen = world.rank() == 0 ? nlohmann::json(look(context, job)).dump() : "";
  const auto outset = parse_json(world.all_gather_text(seen)[0]).get<Outset>();
  const double begun = monotonic_seconds(), used = processor_seconds();
  const RatesByKind measured = outset.tried.empty() ? RatesByKind() : measure(context, job, outset);
  const double measuring_s = monotonic_seconds() - begun;
  ExpectedCosts expected;
  std::set<SpeedSource> sources;
  for (size_t item = 0; item < job.items.size(); ++item) {
    const Speed speed = choose_speed(job.work[item].kind, outset.earlier, measured, outset.assumed);
    job.items[item].cost = seconds_of(job, item, speed.flops_per_s);
    if (!std::ranges::binary_search(outset.open, item)) continue;
    expected.open.push_back(job.items[item]);
    sources.insert(speed.source);
  }
  expected.source = source_text(sources, measuring_s);
  if (context.session.device.is_cpu() && sources == std::set{SpeedSource::measured})
    expected.share_of_processor = (processor_seconds() - used) / (measuring_s * context.session.threads);
  return expected;
}

}  // namespace gaggle
