#include "text/json_file.h"

#include <algorithm>

#include "base/file.h"
#include "base/json.h"

namespace gaggle {

Json read_json_file(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  try {
    return parse_json(text);
  } catch (const JsonError& error) {
    const size_t at = std::min(error.byte > 0 ? error.byte - 1 : 0, text.size());
    const auto line = 1 + std::ranges::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    const size_t line_start = at == 0 ? std::string::npos : text.rfind('\n', at - 1);
    const size_t column = line_start == std::string::npos ? at + 1 : at - line_start;
    user_error("{}:{}:{}: this is not JSON: the file is damaged or incomplete ({})", path.string(), line, column,
               error.what());
  }
}

}  // namespace gaggle
