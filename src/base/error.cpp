#include "base/error.h"

#include <algorithm>

namespace gaggle {

bool is_the_users(const std::error_code& reason) {
  constexpr std::errc mistakes[] = {std::errc::too_many_symbolic_link_levels,
                                    std::errc::filename_too_long,
                                    std::errc::not_a_directory,
                                    std::errc::permission_denied,
                                    std::errc::operation_not_permitted,
                                    std::errc::no_such_device_or_address,
                                    std::errc::invalid_argument};
  return std::ranges::any_of(mistakes, [&](std::errc mistake) { return reason == mistake; });
}

std::string error_text(const std::exception& error) {
  try {
    std::rethrow_if_nested(error);
    return error.what();
  } catch (const std::exception& cause) {
    return fmt::format("{}: {}", error.what(), error_text(cause));
  }
}

void check_failed(const char* file, int line, const char* condition, const std::string& why) {
  throw std::logic_error(
      fmt::format("{}:{}: internal check failed: {}{}{}", file, line, condition, why.empty() ? "" : ": ", why));
}

}  // namespace gaggle
