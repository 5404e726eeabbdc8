// Which host differs from the others: by a majority of its ranks' words, or by numbers far from the median.
#pragma once

#include <string>
#include <vector>

namespace gaggle {

// One value per rank. "" where all are equal; else who has what most have not: "node3 has 0.2, the others
// 0.1". A host whose ranks differ among themselves is named by rank: "rank 2 on node1". Where no value has more
// ranks than every other, all are named: "node1 has 0.1; node2 has 0.2".
std::string disagreement(const std::vector<std::string>& hosts, const std::vector<std::string>& values);

// Numbers, one per rank, of which more is better: indices of those below `share` of the median.
std::vector<size_t> far_below(const std::vector<double>& values, double share);

double median(std::vector<double> values);  // of none: 0

}  // namespace gaggle
