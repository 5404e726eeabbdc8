// What reaches the terminal: texts of files and names that others chose are shown so that they cannot do anything there.
#pragma once

#include <string>
#include <string_view>

namespace gaggle {

bool is_valid_utf8(std::string_view bytes);

// Control characters (but the end of a line and the tab) and bytes that are not UTF-8 as \xNN; cut behind `most`
// characters (…). Errors, warnings and all of standard output pass through it.
std::string visible(std::string_view text, size_t most = std::string_view::npos);

// A text of others inside a sentence or a table: the same on one line, and characters that turn the direction of writing
// as \u{N}.
std::string shown(std::string_view text, size_t most = 200);
// The same in quotes.
std::string in_quotes(std::string_view text, size_t most = 200);

// Writes to standard output at once. Throws SystemError where it cannot be written.
void write_out(std::string_view text);

}  // namespace gaggle
