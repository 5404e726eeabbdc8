#include "base/json.h"

#include <fmt/format.h>

#include "base/terminal.h"

namespace gaggle {

void check_depth(std::string_view text) {
  constexpr int most = 64;
  int depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') in_text = !in_text;
    if (in_text && c == '\\') ++i;
    if (in_text) continue;
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (depth > most) throw JsonError(fmt::format("nested deeper than {} levels", most), i + 1);
  }
}

std::string json_reason(const nlohmann::json::exception& error) {
  const std::string_view words = error.what();
  const size_t number = words.starts_with("[json.exception.") ? words.find("] ") : std::string_view::npos;
  std::string_view plain = number == std::string_view::npos ? words : words.substr(number + 2);
  // "parse error at line 1, column 8: syntax error …"
  if (constexpr std::string_view at = "parse error at "; plain.starts_with(at)) plain.remove_prefix(at.size());
  if (plain.size() <= 200) return shown(plain);
  // The end says what was expected; in between stands what was read, which may be a whole file.
  return shown(plain.substr(0, 120)) + "…" + shown(plain.substr(plain.size() - 60));
}

}  // namespace gaggle
