#include "formats/tfevents.h"

#include <array>
#include <chrono>
#include <cstring>

#include "base/error.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t rest = i;
    for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ (rest & 1 ? 0x82f63b78u : 0u);
    table[i] = rest;
  }
  return table;
}

// CRC-32C (Castagnoli), reflected. TFRecord masks it, because a checksum of a checksum is weak.
uint32_t masked_crc32c(std::string_view bytes) {
  static constexpr auto table = make_table();
  uint32_t crc = 0xffffffffu;
  for (char byte : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

template <class T>
void append_raw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

// Protocol buffers' wire format: a field is its number and wire type, then its value.
void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void append_key(std::string& out, uint64_t field, uint64_t wire_type) { append_varint(out, field << 3 | wire_type); }

void append_bytes(std::string& out, uint64_t field, std::string_view bytes) {
  append_key(out, field, 2);
  append_varint(out, bytes.size());
  out += bytes;
}

// Event { double wall_time = 1; int64 step = 2; … }
std::string event_at(double wall_time, int64_t step) {
  std::string event;
  append_key(event, 1, 1);
  append_raw(event, wall_time);
  append_key(event, 2, 0);
  append_varint(event, static_cast<uint64_t>(step));
  return event;
}

fs::path fresh_path(const fs::path& folder, int64_t seconds) {
  for (int suffix = 0;; ++suffix) {
    const fs::path path =
        folder / fmt::format("events.out.tfevents.{:010}.gaggle{}", seconds, suffix ? fmt::format(".{}", suffix) : "");
    if (!fs::exists(path)) return path;
  }
}

}  // namespace

TensorboardWriter::TensorboardWriter(const fs::path& folder) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  std::error_code failed;
  fs::create_directories(folder, failed);
  path_ = fresh_path(folder, static_cast<int64_t>(now.count()));
  file_.open(path_, std::ios::binary);
  if (!file_) system_error("{}: cannot be written ({})", path_.string(), std::strerror(errno));
  std::string first = event_at(now.count(), 0);
  append_bytes(first, 3, "brain.Event:2");  // file_version = 3
  record(first);
  flush();
}

void TensorboardWriter::scalar(std::string_view tag, int64_t step, double value, double wall_time) {
  // Summary { repeated Value value = 1 }, Value { string tag = 1; float simple_value = 2 }, Event.summary = 5
  std::string summary_value, summary, event = event_at(wall_time, step);
  append_bytes(summary_value, 1, tag);
  append_key(summary_value, 2, 5);
  append_raw(summary_value, static_cast<float>(value));
  append_bytes(summary, 1, summary_value);
  append_bytes(event, 5, summary);
  record(event);
}

void TensorboardWriter::record(const std::string& event) {
  std::string frame;
  append_raw(frame, uint64_t{event.size()});
  append_raw(frame, masked_crc32c(frame));
  frame += event;
  append_raw(frame, masked_crc32c(event));
  file_.write(frame.data(), static_cast<std::streamsize>(frame.size()));
}

void TensorboardWriter::flush() {
  file_.flush();
  if (!file_) system_error("{}: cannot be written ({})", path_.string(), std::strerror(errno));
}

}  // namespace gaggle
