#include "comm/watch.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/error.h"
#include "base/pulse.h"

namespace gaggle {
namespace {

template <size_t N>
void put_text(char (&field)[N], const std::string& text) {
  std::memcpy(field, text.data(), std::min(text.size(), N - 1));
}

bool waits(const Heartbeat& beat) { return beat.number > 0; }

}  // namespace

Heartbeat make_heartbeat(const RankRecord& record, bool leaving) {
  const Pulse pulse = current_pulse();
  Heartbeat beat;
  beat.count = pulse.count;
  beat.step = pulse.step;
  beat.under_way = pulse.under_way;
  beat.leaving = leaving;
  put_text(beat.phase, pulse.phase);
  if (const auto waiting = record.waiting_in()) {
    beat.number = waiting->number;
    put_text(beat.verb, waiting->verb);
    put_text(beat.group, waiting->group);
  }
  return beat;
}

Watch::Watch(std::vector<std::string> hosts, Deadlines deadlines, double now) : deadlines_(deadlines) {
  for (std::string& host : hosts) ranks_.push_back({std::move(host), {}, now, now, false});
}

void Watch::heard(int rank, const Heartbeat& beat, double now) {
  Rank& known = ranks_[static_cast<size_t>(rank)];
  if (beat.count != known.beat.count) known.moved_at = now;
  known.beat = beat;
  known.heard_at = now;
}

void Watch::begin_anew(double now) {
  for (Rank& rank : ranks_) rank.heard_at = rank.moved_at = now;
}

double Watch::deadline_of(const Rank& rank) const {
  return rank.beat.under_way ? deadlines_.later_s : deadlines_.first_s;
}

bool Watch::silent(const Rank& rank, double now) const { return now - rank.heard_at >= deadline_of(rank) / 2; }

// Worst first: ranks that are not heard of; ranks that stand still at work; ranks that are behind in, or in
// another, collective of the group that others wait in; ranks that work on while others wait for them.
std::vector<int> Watch::missing(double now) const {
  std::vector<int> unheard, still, behind, at_work, all;
  std::map<std::string, uint64_t> furthest;  // collective, by group
  std::map<std::pair<std::string, uint64_t>, std::map<std::string, int>> verbs;
  for (const Rank& rank : ranks_) {
    if (rank.lost || !waits(rank.beat)) continue;
    furthest[rank.beat.group] = std::max(furthest[rank.beat.group], rank.beat.number);
    ++verbs[{rank.beat.group, rank.beat.number}][rank.beat.verb];
  }
  for (int r = 0; r < static_cast<int>(ranks_.size()); ++r) {
    const Rank& rank = ranks_[static_cast<size_t>(r)];
    if (rank.lost || rank.beat.leaving) continue;
    all.push_back(r);
    if (silent(rank, now)) unheard.push_back(r);
    if (!waits(rank.beat)) {
      (now - rank.moved_at >= deadline_of(rank) / 2 ? still : at_work).push_back(r);
      continue;
    }
    const auto& [group, number] = std::pair(std::string(rank.beat.group), rank.beat.number);
    const auto& said = verbs[{group, number}];
    const auto most = std::ranges::max_element(said, {}, [](const auto& verb) { return verb.second; });
    if (number < furthest[group] || rank.beat.verb != most->first) behind.push_back(r);
  }
  for (const auto& some : {unheard, still, behind, at_work})
    if (!some.empty()) return some;
  return all;
}

std::string Watch::place(const Rank& rank, double now) const {
  if (rank.lost) return "lost";
  if (rank.beat.leaving) return "finished";
  const std::string where = fmt::format("{} step {}", rank.beat.phase, rank.beat.step);
  const std::string what =
      waits(rank.beat)
          ? fmt::format("waits in {}, {}", collective_text(rank.beat.verb, rank.beat.number, rank.beat.group), where)
          : "at work, " + where;
  return silent(rank, now) ? fmt::format("not heard of for {:.0f} s, before that: {}", now - rank.heard_at, what)
                           : fmt::format("{} ({:.0f} s)", what, now - rank.moved_at);
}

Watch::Verdict Watch::verdict(double now) const {
  const bool late = std::ranges::any_of(ranks_, [&](const Rank& rank) {
    return !rank.lost && !rank.beat.leaving && now - rank.moved_at >= deadline_of(rank);
  });
  if (!late) return {};
  Verdict verdict;
  verdict.missing = missing(now);
  std::map<std::string, std::vector<int>> places;
  std::vector<std::string> order, blamed;
  for (int r = 0; r < static_cast<int>(ranks_.size()); ++r) {
    const Rank& rank = ranks_[static_cast<size_t>(r)];
    const std::string text = fmt::format("on host {}: {}", rank.host, place(rank, now));
    if (places[text].empty()) order.push_back(text);
    places[text].push_back(r);
  }
  for (const int r : verdict.missing)
    blamed.push_back(fmt::format("rank {} on host {}", r, ranks_[static_cast<size_t>(r)].host));
  if (blamed.size() > 8) blamed = {ranks_text(verdict.missing)};
  const bool all_are_there = verdict.missing.size() == ranks_.size() && ranks_.size() > 1;
  verdict.text = fmt::format("no progress within {:g} s{}. Where everybody is:", deadline_of(ranks_[0]),
                             all_are_there ? ", although all ranks are there: the network does not move"
                                           : fmt::format(": {} did not come", fmt::join(blamed, ", ")));
  for (const std::string& text : order) verdict.text += fmt::format("\n  {} {}", ranks_text(places[text]), text);
  return verdict;
}

}  // namespace gaggle
