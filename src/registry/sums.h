// SHA256SUMS of a version's folder, in the form `sha256sum -c` reads.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace gaggle {

inline constexpr const char* sums_file = "SHA256SUMS";

// Digests by file name, as SHA256SUMS text; and those of every file in `folder`.
std::string sums_text(const std::map<std::string, std::string>& digests);
std::string sums_text(const std::filesystem::path& folder);
// file name → digest. Throws UserError: cannot be read, not of that form.
std::map<std::string, std::string> read_sums(const std::filesystem::path& folder);
// SHA-256 of SHA256SUMS itself: names a version with everything in it.
std::string sums_digest(const std::filesystem::path& folder);
// What is wrong with the files that SHA256SUMS lists: changed or missing. Throws UserError as read_sums does.
std::vector<std::string> check_listed(const std::filesystem::path& folder);
// What is wrong with the folder: changed, missing, unlisted files, links. Empty: sound.
std::vector<std::string> check_sums(const std::filesystem::path& folder);

}  // namespace gaggle
