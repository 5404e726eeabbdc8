#define PCRE2_CODE_UNIT_WIDTH 8
#include "formats/python_regex.h"

#include <pcre2.h>

#include "base/error.h"

namespace gaggle {

PythonRegex::PythonRegex(const std::string& pattern, std::string where) : pattern_(pattern), where_(std::move(where)) {
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), 0, &error, &at, nullptr);
  if (!code) {
    PCRE2_UCHAR text[256];
    pcre2_get_error_message(error, text, sizeof(text));
    user_error("{}: the pattern \"{}\" is wrong at character {}: {}", where_, pattern, at + 1,
               reinterpret_cast<const char*>(text));
  }
  code_ = {code, pcre2_code_free};
}

bool PythonRegex::fullmatch(std::string_view text) const {
  return match(text, PCRE2_ANCHORED | PCRE2_ENDANCHORED).has_value();
}

std::optional<std::string> PythonRegex::match_group(std::string_view text) const { return match(text, PCRE2_ANCHORED); }

// The first group of a match, "" where there is none.
std::optional<std::string> PythonRegex::match(std::string_view text, uint32_t options) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> found(
      pcre2_match_data_create_from_pattern(code_.get(), nullptr), pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), 1'000'000);  // a hostile pattern must not hang an import
  const int groups = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, options,
                                 found.get(), context.get());
  if (groups == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (groups < 0) user_error("{}: the pattern \"{}\" takes too long to match \"{}\"", where_, pattern_, text);
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(found.get());
  if (groups < 2 || ends[2] == PCRE2_UNSET) return "";
  return std::string(text.substr(ends[2], ends[3] - ends[2]));
}

}  // namespace gaggle
