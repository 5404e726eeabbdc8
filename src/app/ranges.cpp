#include "app/ranges.h"

#include <fmt/core.h>

#include <charconv>
#include <string>

#include "base/terminal.h"

namespace gaggle {
namespace {

template <class Number>
CLI::Validator between(const char* kind, Number least, Number most) {
  const auto check = [=](const std::string& text) {
    Number value{};
    const auto end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, value);
    if (read.ec == std::errc() && read.ptr == end && value >= least && value <= most) return std::string();
    const std::string above = most < std::numeric_limits<Number>::max() ? fmt::format(" and <= {}", most) : "";
    return fmt::format("expected {} >= {}{}, got {}", kind, least, above, in_quotes(text));
  };
  return CLI::Validator(check, "");
}

}  // namespace

CLI::Validator integer_from(int64_t least, int64_t most) { return between("an integer", least, most); }
CLI::Validator number_from(double least, double most) { return between("a number", least, most); }

}  // namespace gaggle
