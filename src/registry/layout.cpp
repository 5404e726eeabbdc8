#include "registry/layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "base/process.h"

namespace gaggle {
namespace {

std::optional<std::string> read_current(const fs::path& parent) {
  const fs::path file = parent / "CURRENT";
  if (!fs::is_regular_file(fs::symlink_status(file))) return std::nullopt;
  std::string version = read_file(file);
  while (!version.empty() && (version.back() == '\n' || version.back() == ' ')) version.pop_back();
  if (!version_number(version) || !fs::is_directory(fs::symlink_status(parent / version))) return std::nullopt;
  return version;
}

void write_current(const fs::path& parent, const std::string& version) {
  replace_file(parent.parent_path().parent_path(), parent / "CURRENT", version + "\n");
}

fs::path removed_file(const fs::path& registry, const fs::path& parent) {
  return registry / "removed" / parent.lexically_relative(registry);
}

}  // namespace

// The name of a staged folder or file begins with its process' tag: who staged it can be checked for life from that alone.
fs::path open_staging(const fs::path& registry) {
  const fs::path staging = without_links(registry, registry / ".staging");
  const std::string ours = file_tag(this_process()) + "-";
  std::error_code ignored;
  fs::create_directory(staging, ignored);
  for (const auto& entry : fs::directory_iterator(staging, ignored))
    if (const std::string name = entry.path().filename(); !name.starts_with(ours) && life_of_tag(name) == Life::gone)
      fs::remove_all(entry.path(), ignored);
  return staging;
}

void replace_file(const fs::path& registry, const fs::path& file, std::string_view bytes) {
  write_file_atomic(file, bytes, open_staging(registry));
}

Pin parse_pin(const std::string& text, const char* what) {
  const size_t at = text.find('@');
  Pin pin{text.substr(0, at), at == std::string::npos ? "" : text.substr(at + 1)};
  check_name(pin.name, what);
  if (at != std::string::npos && !version_number(pin.version))
    user_error("{} \"{}\": after the @ stands a version such as v0001", what, text);
  return pin;
}

std::string version_name(int number) { return fmt::format("v{:04}", number); }

std::optional<int> version_number(const std::string& name) {
  if (name.size() < 5 || name.size() > 9 || name[0] != 'v' ||
      !std::all_of(name.begin() + 1, name.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  const int number = std::stoi(name.substr(1));
  return version_name(number) == name && number > 0 ? std::optional(number) : std::nullopt;
}

std::vector<std::string> versions_in(const fs::path& parent) {
  std::vector<std::string> versions;
  for (const auto& entry : entries_of(parent))
    if (version_number(entry.path().filename()) && fs::is_directory(entry.symlink_status()))
      versions.push_back(entry.path().filename());
  std::ranges::sort(versions, {}, [](const std::string& version) { return *version_number(version); });
  return versions;
}

std::vector<std::string> names_in(const fs::path& parent) {
  std::vector<std::string> names;
  for (const auto& entry : entries_of(parent))
    if (fs::is_directory(entry.symlink_status()) && !versions_in(entry.path()).empty())
      names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

std::optional<std::string> current_version(const fs::path& parent) {
  if (auto version = read_current(parent)) return version;
  const auto versions = versions_in(parent);
  return versions.empty() ? std::nullopt : std::optional(versions.back());
}

void set_current(const fs::path& parent, const std::string& version) {
  if (read_current(parent) != version) write_current(parent, version);
}

void advance_current(const fs::path& parent) {
  // Two who commit at once may write in either order: who wrote looks again and mends what it pushed back.
  for (;;) {
    const auto versions = versions_in(parent);
    const auto current = read_current(parent);
    if (versions.empty() || (current && *version_number(*current) >= *version_number(versions.back()))) return;
    write_current(parent, versions.back());
  }
}

int last_removed(const fs::path& registry, const fs::path& parent) {
  const fs::path file = removed_file(registry, parent);
  if (!fs::exists(fs::symlink_status(without_links(registry, file)))) return 0;
  const std::string text = read_file(file);
  const auto number = version_number(text.substr(0, text.find('\n')));
  if (!number)
    user_error("{}: expected the newest version that was removed under this name, such as v0003: write it there",
               file.string());
  return *number;
}

void keep_last_number(const fs::path& registry, const fs::path& parent, const fs::path& folder) {
  const auto versions = versions_in(folder);
  if (versions.empty()) return;
  const int newest = std::max(*version_number(versions.back()), last_removed(registry, parent));
  const fs::path file = removed_file(registry, parent);
  std::error_code failed;
  fs::create_directories(file.parent_path(), failed);
  if (failed) system_error("{}: cannot be made ({})", file.parent_path().string(), failed.message());
  replace_file(registry, file, version_name(newest) + "\n");
}

const fs::path& without_links(const fs::path& root, const fs::path& path) {
  fs::path walked = root;
  for (const auto& part : path.lexically_relative(root)) {
    walked /= part;
    if (fs::is_symlink(fs::symlink_status(walked)))
      user_error("{}: a link; links are not followed inside a registry (copy what it points to)", walked.string());
  }
  return path;
}

}  // namespace gaggle
