// The rules of cross_check, part by part. Each adds its complaints as "section.key" → text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "config/config.h"

namespace gaggle {

using Complaints = std::vector<std::pair<std::string, std::string>>;

template <class... Args>
void refuse_if(bool wrong, Complaints& complaints, const char* key, fmt::format_string<Args...> why, Args&&... args) {
  if (wrong) complaints.emplace_back(key, fmt::format(why, std::forward<Args>(args)...));
}

void check_names(Complaints& complaints, const Config& config);         // what becomes or names a folder
void check_eval_methods(Complaints& complaints, const Config& config);  // eval.methods
void check_sampling(Complaints& complaints, const Config& config);      // data.sampling and its numbers
void check_poly(Complaints& complaints, const Config& config);          // poly, and alignment beside it
void check_adapt(Complaints& complaints, const Config& config);

}  // namespace gaggle
