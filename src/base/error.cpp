#include "base/error.h"

namespace gaggle {

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
