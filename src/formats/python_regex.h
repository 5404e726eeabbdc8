// Python's re.fullmatch and re.match for the patterns that PEFT configs hold, by PCRE2.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct pcre2_real_code_8;

namespace gaggle {

class PythonRegex {
 public:
  // Throws UserError that begins with `where` for a pattern that does not compile, or later takes too long.
  PythonRegex(const std::string& pattern, std::string where);
  bool fullmatch(std::string_view text) const;
  // re.match(text).group(1): the match starts where the text does and may end before it.
  std::optional<std::string> match_group(std::string_view text) const;

 private:
  std::optional<std::string> match(std::string_view text, uint32_t options) const;

  std::shared_ptr<pcre2_real_code_8> code_;
  std::string pattern_, where_;
};

}  // namespace gaggle
