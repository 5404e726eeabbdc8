// From a method that routes by token or sequence, and what was prepared for it, to what sits on the sites.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapter/ruled_routing.h"
#include "config/config.h"
#include "eval/method.h"
#include "library/prepared.h"

namespace gaggle {

// What its scores are: methods that differ in their rule alone share statistics.
std::string scoring_name(const Method& method);

// What a method needs prepared (library/prepared.h).
std::vector<std::string> needed_by(const Method& method);

// Whether the method's rule is anything but the k best of every token and site, so that it reads every expert at once.
bool needs_whole_collection(MethodKind kind, const EvalConfig& eval);

// Of its rule what is not as by default, a word each; who takes no part when `task` is scored, too.
std::vector<std::string> settings_of_rule(const Method& method, const RoutedCollection& collection,
                                          const ScoredTask& task);

// The scores that a method takes, and the sites with who takes part: statistics are of these.
struct ScoredSites {
  std::vector<RoutedSite> sites;
  std::unique_ptr<SiteScores> scores;  // null: it takes none
};
ScoredSites scored_sites(const Method& method, const RoutedCollection& collection, const PreparedExperts& prepared);

std::unique_ptr<RoutedAdapter> make_routing(const Method& method, const RoutedCollection& collection,
                                            const PreparedExperts& prepared, BaseModel& base, const ScoredTask& task);

}  // namespace gaggle
