#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/screen.h"
#include "base/terminal.h"

namespace gaggle::log {
namespace {

int the_rank = 0;

spdlog::logger& logger() {
  static auto instance = [] {
    auto made = spdlog::stderr_logger_mt("gaggle");
    made->set_pattern("%v");
    return made;
  }();
  return *instance;
}

// A message of ours is shorter; what is longer repeats a file.
constexpr size_t most_characters = 20'000;

void write(spdlog::level::level_enum level, const std::string& words, const std::string& text) {
  std::string line = words + visible(text, most_characters);
  if (const auto columns = error_columns()) line = wrapped(line, *columns);
  const AsideForText aside("\n");
  logger().log(level, "{}", line);
}

std::string prefix() { return the_rank > 0 ? fmt::format("rank {}: ", the_rank) : ""; }

}  // namespace

void set_rank(int rank) { the_rank = rank; }

void write_info(const std::string& text) {
  if (the_rank == 0) write(spdlog::level::info, "", text);
}
void write_warning(const std::string& text) { write(spdlog::level::warn, prefix() + "warning: ", text); }
void write_error(const std::string& text) { write(spdlog::level::err, prefix() + "error: ", text); }

}  // namespace gaggle::log
