// Regular expressions as tokenizer.json writes them (Oniguruma's Ruby syntax), matched by PCRE2.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace gaggle {

// The GPT-2 pattern, which ByteLevel pre-tokenisers use by themselves.
extern const char* const kGpt2Pattern;

// The same set of strings in PCRE2's syntax: \s, \w and their complements differ in a few characters. Throws
// UserError, without a file's name, for what means something else in PCRE2: \h, (?m), [a[b]], [a&&b].
std::string oniguruma_to_pcre2(std::string_view pattern);

class Pattern {
 public:
  explicit Pattern(std::string_view oniguruma);  // throws UserError, without a file's name
  static Pattern literal(std::string_view text);

  // Calls found(begin, end) for every non-empty match in `text` (valid UTF-8), left to right.
  void each_match(std::string_view text, const std::function<void(size_t, size_t)>& found) const;
  // `with` is taken literally. Throws UserError where more than `most` bytes would come out.
  std::string replace(std::string_view text, std::string_view with,
                      size_t most = std::string_view::npos) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

}  // namespace gaggle
