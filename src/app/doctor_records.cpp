#include "app/doctor_records.h"

#include <fmt/format.h>

#include "comm/divergence.h"
#include "comm/record_file.h"

namespace gaggle {

std::string read_collective_records(const std::filesystem::path& path) {
  const auto reports = read_record_files(path);
  if (reports.empty()) return fmt::format("no records of collectives in {}\n", path.string());
  const std::string text = divergence_text(reports);
  return text.ends_with('\n') ? text : text + "\n";
}

}  // namespace gaggle
