#include "app/doctor_records.h"

#include <fmt/format.h>

namespace gaggle {

std::string read_collective_records(const std::filesystem::path& path) {
  return fmt::format("no records of collectives in {}\n", path.string());
}

}  // namespace gaggle
