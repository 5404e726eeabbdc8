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

// A file is the SHA-256 of what follows, in hex, then the numbers and texts below, little-endian.
class Writer {
 public:
  void number(int64_t value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void text(const std::string& value) {
    number(static_cast<int64_t>(value.size()));
    bytes += value;
  }
  void ids(const std::vector<int32_t>& values) {
    number(static_cast<int64_t>(values.size()));
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int32_t));
  }
  std::string bytes;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  int64_t number() {
    int64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  // A count of things that take at least `size` bytes each.
  size_t count(size_t size) {
    const int64_t n = number();
    if (n < 0 || static_cast<uint64_t>(n) > rest_.size() / size) throw std::length_error("count");
    return static_cast<size_t>(n);
  }
  std::string text() { return std::string(take(count(1))); }
  std::vector<int32_t> ids() {
    std::vector<int32_t> values(count(sizeof(int32_t)));
    const std::string_view bytes = take(values.size() * sizeof(int32_t));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view take(size_t size) {
    if (size > rest_.size()) throw std::length_error("end of file");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::string_view rest_;
};

void write_row(Writer& out, const TokenRow& row) {
  out.text(row.id);
  out.ids(row.source);
  out.ids(row.input);
  out.ids(row.target);
  out.number(static_cast<int64_t>(row.choices.size()));
  for (const auto& choice : row.choices) out.ids(choice);
  out.number(row.answer);
  out.number(row.cut);
}

TokenRow read_row(Reader& in) {
  TokenRow row;
  row.id = in.text();
  row.source = in.ids();
  row.input = in.ids();
  row.target = in.ids();
  row.choices.resize(in.count(sizeof(int64_t)));
  for (auto& choice : row.choices) choice = in.ids();
  row.answer = static_cast<int32_t>(in.number());
  row.cut = in.number() != 0;
  return row;
}

fs::path file_of(const fs::path& folder, const std::string& key) {
  return folder / "tokens" / (key + ".bin");
}

}  // namespace

std::optional<TokenTask> read_cached(const fs::path& folder, const std::string& key) {
  const fs::path file = file_of(folder, key);
  std::error_code failed;
  if (!fs::is_regular_file(file, failed)) return std::nullopt;
  try {
    const std::string bytes = read_file(file);
    if (bytes.size() < 64 || sha256_hex(std::string_view(bytes).substr(64)) != bytes.substr(0, 64))
      return std::nullopt;
    Reader in(std::string_view(bytes).substr(64));
    TokenTask task;
    task.name = in.text();
    task.metric = in.text();
    task.rows_cut = in.number();
    task.end_id = static_cast<int32_t>(in.number());
    task.digest = in.text();
    for (auto& split : task.splits) {
      split.resize(in.count(6 * sizeof(int64_t)));
      for (TokenRow& row : split) row = read_row(in);
    }
    if (!in.at_end()) return std::nullopt;
    return task;
  } catch (const std::length_error&) {
    return std::nullopt;
  } catch (const UserError&) {  // unreadable: as good as absent
    return std::nullopt;
  }
}

void write_cached(const fs::path& folder, const std::string& key, const TokenTask& task) {
  Writer out;
  out.text(task.name);
  out.text(task.metric);
  out.number(task.rows_cut);
  out.number(task.end_id);
  out.text(task.digest);
  for (const auto& split : task.splits) {
    out.number(static_cast<int64_t>(split.size()));
    for (const TokenRow& row : split) write_row(out, row);
  }
  // Ranks that are threads of one process would meet in the same temporary file.
  static std::mutex one_writer;
  static bool warned = false;
  const std::lock_guard lock(one_writer);
  try {
    fs::create_directories(folder / "tokens");
    write_file_atomic(file_of(folder, key), sha256_hex(out.bytes) + out.bytes);
  } catch (const std::exception& error) {
    if (!warned) log::warning("no token cache: {}; registry.cache names its folder", error.what());
    warned = true;
  }
}

}  // namespace gaggle
