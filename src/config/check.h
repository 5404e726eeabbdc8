// The rules of cross_check, part by part. Each adds its complaints as "section.key" → text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/config.h"

namespace gaggle {

using Complaints = std::vector<std::pair<std::string, std::string>>;

inline void refuse_if(bool wrong, Complaints& complaints, const char* key, std::string why) {
  if (wrong) complaints.emplace_back(key, std::move(why));
}

void check_names(Complaints& complaints, const Config& config);         // what becomes or names a folder
void check_eval_methods(Complaints& complaints, const Config& config);  // eval.methods
void check_sampling(Complaints& complaints, const Config& config);      // data.sampling and its numbers
void check_poly(Complaints& complaints, const Config& config);          // poly, and alignment beside it
void check_adapt(Complaints& complaints, const Config& config);

}  // namespace gaggle
