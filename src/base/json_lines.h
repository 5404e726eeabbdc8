// Files of one JSON object a line that a run adds to while it works.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/file.h"

namespace gaggle {

// Throws SystemError.
void append_json_line(const fs::path& path, const nlohmann::ordered_json& line);

// Every whole line in order; none if there is no file. A last line that was cut off when its writer was killed
// is left out. Throws UserError with path:line where `take` throws an exception of nlohmann::json or the text
// is not JSON: "not a line of `what`".
void read_json_lines(const fs::path& path, std::string_view what,
                     const std::function<void(const nlohmann::ordered_json&)>& take);

// Keeps the lines whose "step" is at most `step`: a run that goes on from there writes the later ones again.
void truncate_json_lines(const fs::path& path, std::string_view what, int64_t step);

}  // namespace gaggle
