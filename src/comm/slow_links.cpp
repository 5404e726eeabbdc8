// Which of many measured links are slow: a rank with mostly slow links first, then single links.
#include <algorithm>
#include <map>

#include "cluster/odd_one.h"
#include "comm/link_speed.h"

namespace gaggle {
namespace {

using Pair = std::pair<size_t, size_t>;

std::string speed_text(const LinkSpeed& speed) {
  return fmt::format("{:.1f} µs, {:.2f} GB/s", speed.latency_s * 1e6, speed.bytes_per_s / 1e9);
}

// The middle of each number over the links that `chosen` says yes to.
template <class Chosen>
LinkSpeed middle(const std::map<Pair, LinkSpeed>& links, const Chosen& chosen) {
  std::vector<double> latency, bytes;
  for (const auto& [pair, speed] : links)
    if (chosen(pair)) {
      latency.push_back(speed.latency_s);
      bytes.push_back(speed.bytes_per_s);
    }
  return {median(latency), median(bytes)};
}

}  // namespace

std::vector<std::string> slow_links(const std::vector<LinkSpeed>& pairs,
                                    const std::vector<std::string>& names) {
  const size_t n = names.size();
  std::map<Pair, LinkSpeed> links, slow;
  for (size_t a = 0; a < n; ++a)
    for (size_t b = a + 1; b < n; ++b)
      if (pairs[a * n + b].bytes_per_s > 0) links[{a, b}] = pairs[a * n + b];
  const LinkSpeed usual = middle(links, [](const Pair&) { return true; });
  // Below 50 µs more the clock and the scheduler speak, not the link.
  for (const auto& [pair, speed] : links)
    if (speed.bytes_per_s < usual.bytes_per_s / 3 ||
        speed.latency_s > std::max(3 * usual.latency_s, usual.latency_s + 50e-6))
      slow[pair] = speed;
  std::vector<std::string> sentences;
  const auto has = [](size_t rank) {
    return [rank](const Pair& p) { return p.first == rank || p.second == rank; };
  };
  const auto count = [&](const std::map<Pair, LinkSpeed>& of, size_t rank) {
    return std::count_if(of.begin(), of.end(), [&](const auto& link) { return has(rank)(link.first); });
  };
  while (!slow.empty()) {
    size_t worst = 0;
    for (size_t rank = 1; rank < n; ++rank)
      if (count(slow, rank) > count(slow, worst)) worst = rank;
    if (count(slow, worst) < 2 || 2 * count(slow, worst) <= count(links, worst)) break;
    sentences.push_back(fmt::format("{} is slow to talk to: {} in the middle of its links, {} elsewhere",
                                    names[worst], speed_text(middle(slow, has(worst))), speed_text(usual)));
    std::erase_if(slow, [&](const auto& link) { return has(worst)(link.first); });
  }
  for (const auto& [pair, speed] : slow)
    sentences.push_back(fmt::format("{} and {}: {}, elsewhere {}", names[pair.first], names[pair.second],
                                    speed_text(speed), speed_text(usual)));
  return sentences;
}

}  // namespace gaggle
