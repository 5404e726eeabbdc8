#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

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

std::string prefix() { return the_rank > 0 ? fmt::format("rank {}: ", the_rank) : ""; }

}  // namespace

void set_rank(int rank) { the_rank = rank; }

void write_info(const std::string& text) {
  if (the_rank == 0) logger().info(text);
}
void write_warning(const std::string& text) { logger().warn("{}warning: {}", prefix(), text); }
void write_error(const std::string& text) { logger().error("{}error: {}", prefix(), text); }

}  // namespace gaggle::log
