#include "base/json_lines.h"

#include <fstream>

#include "base/error.h"
#include "base/json.h"

namespace gaggle {

void append_json_line(const fs::path& path, const nlohmann::ordered_json& line) {
  fs::create_directories(path.parent_path());
  if (fs::exists(path)) open_to_read(path);  // refuses a pipe, whose opening would wait for a reader
  std::ofstream file(path, std::ios::app);
  file << line.dump() << "\n" << std::flush;
  if (!file) system_error("{}: cannot be written", path.string());
}

void read_json_lines(const fs::path& path, std::string_view what,
                     const std::function<void(const nlohmann::ordered_json&)>& take) {
  if (!fs::exists(path)) return;
  const std::string text = read_file(path);
  size_t begin = 0, number = 1;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1, ++number) {
    try {
      take(parse_json<nlohmann::ordered_json>(text.substr(begin, end - begin)));
    } catch (const nlohmann::json::exception& error) {
      user_error("{}:{}: not a line of {} ({})", path.string(), number, what, error.what());
    }
  }
}

void truncate_json_lines(const fs::path& path, std::string_view what, int64_t step) {
  if (!fs::exists(path)) return;
  std::string kept;
  read_json_lines(path, what, [&](const nlohmann::ordered_json& line) {
    if (line.at("step").get<int64_t>() <= step) kept += line.dump() + "\n";
  });
  write_file_atomic(path, kept);
}

}  // namespace gaggle
