#include "base/error.h"

namespace gaggle {

void check_failed(const char* file, int line, const char* condition, const std::string& why) {
  throw std::logic_error(
      fmt::format("{}:{}: internal check failed: {}{}{}", file, line, condition, why.empty() ? "" : ": ", why));
}

}  // namespace gaggle
