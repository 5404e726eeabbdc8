// Names that people type: the nearest valid one, and what may become a folder's name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gaggle {

// The candidate with the smallest edit distance, or "" if none is near (over a third of the letters differ).
std::string nearest_name(std::string_view typed, const std::vector<std::string>& candidates);

// " (did you mean tomi?)", or "" if none is near.
std::string did_you_mean(std::string_view typed, const std::vector<std::string>& candidates);

// What stands behind an unknown name, in brackets: "did you mean tomi?", else "known: tomi, sarcasm".
std::string known_names(std::string_view typed, const std::vector<std::string>& candidates);

// Names of experts, collections and tasks become folders: letters, digits, '.', '_', '-', '+', not starting
// with a dot, at most 128 long. Throws UserError naming `what`.
void check_name(std::string_view name, std::string_view what);

std::string join(const std::vector<std::string>& parts, std::string_view separator);

}  // namespace gaggle
