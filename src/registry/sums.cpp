#include "registry/sums.h"

#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

namespace gaggle {

std::string sums_text(const std::map<std::string, std::string>& digests) {
  std::string text;
  for (const auto& [name, digest] : digests) text += digest + "  " + name + "\n";
  return text;
}

std::string sums_text(const fs::path& folder) {
  std::map<std::string, std::string> digests;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename() != sums_file) digests[entry.path().filename()] = sha256_hex_of_file(entry.path());
  return sums_text(digests);
}

std::map<std::string, std::string> read_sums(const fs::path& folder) {
  const fs::path file = folder / sums_file;
  std::istringstream lines(read_file(file));
  std::map<std::string, std::string> digests;
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.size() < 67 || line.compare(64, 2, "  ") != 0 || line.find('/') != std::string::npos ||
        line.find_first_not_of("0123456789abcdef") != 64)
      user_error("{}:{}: expected 64 hex digits, two blanks and a file's name", file.string(), number);
    digests[line.substr(66)] = line.substr(0, 64);
  }
  return digests;
}

std::string sums_digest(const fs::path& folder) { return sha256_hex(read_file(folder / sums_file)); }

namespace {

std::vector<std::string> check_against(const fs::path& folder, const std::map<std::string, std::string>& digests) {
  std::vector<std::string> complaints;
  for (const auto& [name, digest] : digests) {
    const fs::path file = folder / name;
    if (fs::is_symlink(fs::symlink_status(file))) continue;  // named by check_sums, and followed by nobody
    if (!fs::is_regular_file(file))
      complaints.push_back(file.string() + ": missing (SHA256SUMS lists it)");
    else if (sha256_hex_of_file(file) != digest)
      complaints.push_back(file.string() + ": its bytes are not those that were committed (SHA256SUMS)");
  }
  return complaints;
}

}  // namespace

std::vector<std::string> check_listed(const fs::path& folder) { return check_against(folder, read_sums(folder)); }

std::vector<std::string> check_sums(const fs::path& folder) {
  try {
    const auto digests = read_sums(folder);
    std::vector<std::string> complaints = check_against(folder, digests);
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename();
      if (entry.is_symlink())
        complaints.push_back(entry.path().string() + ": a link; a version holds files only");
      else if (name != sums_file && !digests.contains(name))
        complaints.push_back(entry.path().string() + ": not listed in SHA256SUMS");
    }
    return complaints;
  } catch (const UserError& error) {
    return {error_text(error)};
  }
}

}  // namespace gaggle
