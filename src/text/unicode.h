// UTF-8 and the Unicode properties that tokenisers ask for.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gaggle {

// Every maximal ill-formed part becomes U+FFFD, as Rust's from_utf8_lossy and Python's errors="replace" do.
std::string valid_utf8(std::string_view bytes);

// Of valid UTF-8: the character that starts at `at`; `at` moves behind it.
char32_t next_char(std::string_view text, size_t& at);
void append_char(std::string& text, char32_t c);

void replace_every(std::string& text, std::string_view from, std::string_view to);

bool is_white_space(char32_t c);   // Unicode White_Space
bool is_word_char(char32_t c);     // Alphabetic, marks, decimal digits, connectors: \w of UTS #18
bool is_alphanumeric(char32_t c);  // letters and numbers: Python's str.isalnum

// As Python's str.lower, of valid UTF-8: İ becomes two characters, and Σ at a word's end ς.
std::string lower_case(std::string_view text);

size_t last_char_start(std::string_view text);       // of text that is not empty
size_t without_space_at_end(std::string_view text);  // how many bytes are left
size_t space_at_start(std::string_view text);        // how many bytes it has

// Where the extended grapheme cluster that starts at `begin` ends: UAX #29 of Unicode 14, so Indic conjuncts
// (rule GB9c of Unicode 15.1) are several.
size_t grapheme_end(std::string_view text, size_t begin);

enum class NormalForm { nfc, nfd, nfkc, nfkd };
std::string normal_form(std::string_view text, NormalForm form);

}  // namespace gaggle
