// Messages for people, on stderr, one line each. Machines read the run folder's files instead.
#pragma once

#include <fmt/format.h>

#include <string>

namespace gaggle::log {

void write_info(const std::string& text);
void write_warning(const std::string& text);
void write_error(const std::string& text);

// Ranks other than the first keep quiet but for warnings and errors, which then name the rank.
void set_rank(int rank);

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write_info(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write_warning(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write_error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace gaggle::log
