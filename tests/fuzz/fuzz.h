// What the libFuzzer targets share. Any bytes are either read or refused with an error meant for people; whatever else
// leaves a reader ends the program, and libFuzzer keeps the input.
#pragma once

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace gaggle::fuzz {

// What each target defines: reads one input.
void try_input(std::string_view bytes);

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// Runs `read`. UserError, NotFinite (which is one) and SystemError are answers.
template <class Read>
void attempt(Read&& read) {
  try {
    read();
  } catch (const UserError&) {
  } catch (const SystemError&) {
  }
}

// A folder of this process for readers that want files; gone at its end.
class Scratch {
 public:
  Scratch() : path_(fs::temp_directory_path() / ("gaggle_fuzz_" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
  }
  ~Scratch() { fs::remove_all(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Without the fsync of base/file.h, and in place: an input's file is read once.
inline void write(const fs::path& file, std::string_view bytes) {
  std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace gaggle::fuzz

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  spdlog::set_level(spdlog::level::off);  // warnings of every input would bury libFuzzer's lines
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  gaggle::fuzz::attempt([&] { gaggle::fuzz::try_input(bytes); });
  return 0;
}
