// Which of many measured links are slow: a rank with mostly slow links first, then single links.
#include <algorithm>

#include "doctor/link_speed.h"
#include "doctor/odd_one.h"

namespace gaggle {
namespace {

bool touches(const RankLink& link, int rank) { return link.a == rank || link.b == rank; }

std::vector<RankLink> links_of(const std::vector<RankLink>& links, int rank) {
  std::vector<RankLink> some;
  std::ranges::copy_if(links, std::back_inserter(some), [&](const auto& link) { return touches(link, rank); });
  return some;
}

// The rank with the most of these links.
int busiest(const std::vector<RankLink>& links, int ranks) {
  int most = 0;
  for (int rank = 1; rank < ranks; ++rank)
    if (links_of(links, rank).size() > links_of(links, most).size()) most = rank;
  return most;
}

}  // namespace

std::string speed_text(const LinkSpeed& speed) {
  return fmt::format("{:.1f} µs, {:.2f} GB/s", speed.latency_s * 1e6, speed.bytes_per_s / 1e9);
}

LinkSpeed median_speed(const std::vector<RankLink>& links) {
  std::vector<double> latency, bytes;
  for (const RankLink& link : links) {
    latency.push_back(link.speed.latency_s);
    bytes.push_back(link.speed.bytes_per_s);
  }
  return {median(latency), median(bytes)};
}

std::vector<std::string> slow_links(const std::vector<RankLink>& links, const std::vector<std::string>& names) {
  const LinkSpeed usual = median_speed(links);
  std::vector<RankLink> slow;
  for (const RankLink& link : links)
    // Below 50 µs more the clock and the scheduler speak, not the link.
    if (link.speed.bytes_per_s < usual.bytes_per_s / 3 ||
        link.speed.latency_s > std::max(3 * usual.latency_s, usual.latency_s + 50e-6))
      slow.push_back(link);
  std::vector<std::string> sentences;
  while (!slow.empty()) {
    const int worst = busiest(slow, static_cast<int>(names.size()));
    const auto slow_of_worst = links_of(slow, worst);
    if (slow_of_worst.size() < 2 || 2 * slow_of_worst.size() <= links_of(links, worst).size()) break;
    sentences.push_back(fmt::format("{} is slow to talk to: {} in the middle of its links, {} elsewhere",
                                    names[static_cast<size_t>(worst)], speed_text(median_speed(slow_of_worst)),
                                    speed_text(usual)));
    std::erase_if(slow, [&](const auto& link) { return touches(link, worst); });
  }
  for (const RankLink& link : slow)
    sentences.push_back(fmt::format("{} and {}: {}, elsewhere {}", names[static_cast<size_t>(link.a)],
                                    names[static_cast<size_t>(link.b)], speed_text(link.speed), speed_text(usual)));
  return sentences;
}

}  // namespace gaggle
