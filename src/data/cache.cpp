#include "data/cache.h"

#include <cstring>
#include <mutex>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

// A file is sealed (base/sha256.h), and holds the numbers and texts below, little-endian.
struct Writer {
  std::string bytes = {};
  void number(int64_t value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); }
  template <class Values>
  void count(const Values& values, size_t) {
    number(static_cast<int64_t>(values.size()));
  }
  template <class Values>  // texts, or ids
  void values(const Values& values) {
    count(values, 0);
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0]));
  }
};

struct Reader {
  std::string_view rest;
  template <class Number>
  void number(Number& value) {
    int64_t stored = 0;
    std::memcpy(&stored, take(sizeof stored).data(), sizeof stored);
    value = static_cast<Number>(stored);
  }
  // Makes room for things that take at least `least` bytes each.
  template <class Values>
  void count(Values& values, size_t least) {
    int64_t n = 0;
    number(n);
    if (n < 0 || static_cast<uint64_t>(n) > rest.size() / least) throw std::length_error("count");
    values.resize(static_cast<size_t>(n));
  }
  template <class Values>
  void values(Values& values) {
    count(values, sizeof(values[0]));
    const std::string_view bytes = take(values.size() * sizeof(values[0]));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  }
  std::string_view take(size_t size) {
    if (size > rest.size()) throw std::length_error("end of file");
    const std::string_view taken = rest.substr(0, size);
    rest.remove_prefix(size);
    return taken;
  }
};

// Both ways: what the file holds, in its order.
template <class File, class AnyTask>
void transfer(File& file, AnyTask& task) {
  file.values(task.name);
  file.values(task.metric);
  file.number(task.examples_cut);
  file.number(task.shots_left_out);
  file.number(task.end_id);
  file.values(task.digest);
  for (auto& split : task.splits) {
    file.count(split, 8 * sizeof(int64_t));
    for (auto& example : split) {
      file.values(example.id);
      file.values(example.source);
      file.values(example.input);
      file.values(example.target);
      file.count(example.choices, sizeof(int64_t));
      for (auto& choice : example.choices) file.values(choice);
      file.values(example.choice_characters);
      file.number(example.answer);
      file.number(example.cut);
    }
  }
}

fs::path file_of(const fs::path& folder, const std::string& key) { return folder / "tokens" / (key + ".bin"); }

}  // namespace

std::optional<TokenTask> read_cached(const fs::path& folder, const std::string& key) {
  const fs::path file = file_of(folder, key);
  std::error_code failed;
  if (!fs::is_regular_file(file, failed)) return std::nullopt;
  try {
    const std::string bytes = read_file(file);
    if (!is_sealed(std::as_bytes(std::span(bytes)))) return std::nullopt;
    Reader in{std::string_view(bytes).substr(seal_bytes)};
    TokenTask task;
    transfer(in, task);
    if (!in.rest.empty()) return std::nullopt;
    return task;
  } catch (const std::exception&) {  // damaged or unreadable: as good as absent
    return std::nullopt;
  }
}

void write_cached(const fs::path& folder, const std::string& key, const TokenTask& task) {
  Writer out;
  transfer(out, task);
  // Ranks that are threads of one process would meet in the same temporary file.
  static std::mutex one_writer;
  static bool warned = false;
  const std::lock_guard lock(one_writer);
  try {
    fs::create_directories(folder / "tokens");
    write_file_atomic(file_of(folder, key), sealed(out.bytes));
  } catch (const std::exception& error) {
    if (!warned) log::warning("no token cache: {}; registry.cache names its folder", error_text(error));
    warned = true;
  }
}

}  // namespace gaggle
