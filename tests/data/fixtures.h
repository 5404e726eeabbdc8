// What the tests of the data room share: a folder of their own, and a tokenizer whose ids are easy to foresee.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"
#include "text/tokenizer.h"

namespace gaggle {

// A folder that goes when the test ends.
struct TestFolder {
  std::filesystem::path path;
  TestFolder() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    path = std::filesystem::temp_directory_path() /
           fmt::format("gaggle-{}-{}-{}", test->test_suite_name(), test->name(), ::getpid());
    std::filesystem::create_directories(path);
  }
  ~TestFolder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name, std::ios::binary) << text;
    return (path / name).string();
  }
};

// A byte is its own id; in markup, "<|im_start|>", "<|im_end|>" and "<s>" are 256, 257 and 258.
class ByteTokenizer : public Tokenizer {
 public:
  ByteTokenizer() {
    eos = 257;
    bos = 258;
    digest = "bytes";
  }
  std::vector<int32_t> encode(std::span<const TextPiece> pieces) const override {
    std::vector<int32_t> ids;
    for (const TextPiece& piece : pieces) {
      std::string_view rest = piece.text;
      while (!rest.empty()) {
        const auto [id, size] = next(rest, piece.markup);
        ids.push_back(id);
        rest.remove_prefix(size);
      }
    }
    return ids;
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) text += id < 256 ? std::string(1, static_cast<char>(id)) : "";
    return text;
  }
  std::optional<int32_t> id_of(std::string_view token) const override {
    const auto [id, size] = next(token, true);
    return size == token.size() ? std::optional(id) : std::nullopt;
  }
  std::string token_of(int32_t id) const override {
    return id < 256 ? std::string(1, static_cast<char>(id)) : markers[static_cast<size_t>(id - 256)];
  }
  int32_t size() const override { return 259; }

 private:
  static constexpr std::array<const char*, 3> markers = {"<|im_start|>", "<|im_end|>", "<s>"};
  static std::pair<int32_t, size_t> next(std::string_view text, bool markup) {
    for (size_t i = 0; markup && i < markers.size(); ++i)
      if (text.starts_with(markers[i])) return {256 + static_cast<int32_t>(i), std::string_view(markers[i]).size()};
    return {static_cast<unsigned char>(text[0]), 1};
  }
};

// The message of the UserError that `run` throws; "" if it throws none.
template <class Run>
std::string user_error_of(const Run& run) {
  try {
    run();
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

inline std::vector<int32_t> bytes_of(std::string_view text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

}  // namespace gaggle
