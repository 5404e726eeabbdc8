// What `gaggle status` prints: a page for people, or JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "coordinator/status.h"

namespace gaggle {

// `what`: "experts", "evaluation", …
std::string status_block(const std::string& what, const WorkStatus& status);
nlohmann::ordered_json status_json(const std::string& what, const WorkStatus& status);

}  // namespace gaggle
