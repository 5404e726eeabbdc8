// What `gaggle status` prints: a page for people, or JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/page.h"
#include "coordinator/status.h"

namespace gaggle {

// `what`: "experts", "evaluation", …
Page status_page(const std::string& what, const WorkStatus& status);
nlohmann::ordered_json status_json(const std::string& what, const WorkStatus& status);

}  // namespace gaggle
