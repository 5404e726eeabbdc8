// TensorBoard event files: TFRecord frames (length and masked CRC-32C) around Event messages of scalars.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace gaggle {

class TensorboardWriter {
 public:
  // Makes folder/events.out.tfevents.<time>.gaggle (an existing file is never touched:
  // each start adds one). Throws SystemError.
  explicit TensorboardWriter(const std::filesystem::path& folder);
  void scalar(std::string_view tag, int64_t step, double value, double wall_time);  // seconds since 1970
  void flush();

 private:
  void record(const std::string& event);

  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace gaggle
