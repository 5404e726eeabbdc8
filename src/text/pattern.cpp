#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pattern.h"

#include <pcre2.h>

#include <cctype>

#include "base/error.h"
#include "base/terminal.h"

namespace gaggle {

const char* const kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

[[noreturn]] void refuse(std::string_view pattern, std::string_view what) {
  user_error("the pattern '{}' uses {}, which is not supported", shown(pattern), what);
}

std::string error_text(int error) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

// An inline option group "(?m…" turns on dot-matches-newline in Ruby's syntax, but line anchors in PCRE2's.
bool has_option_m(std::string_view group) {
  for (const char c : group) {
    if (c == 'm') return true;
    if (c != 'i' && c != 'x' && c != '-') return false;
  }
  return false;
}

}  // namespace

std::string oniguruma_to_pcre2(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      switch (escaped) {
        // Unicode's White_Space: PCRE2's own \s also has U+180E.
        case 's':
          out += R"(\p{White_Space})";
          break;
        case 'S':
          out += R"(\P{White_Space})";
          break;
        case 'w':
          out += in_class ? R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})" : R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}])";
          break;
        case 'W':
          if (in_class) refuse(pattern, "\\W inside a class");
          out += R"([^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}])";
          break;
        case 'h':
        case 'H':
          refuse(pattern, "\\h (a hexadecimal digit)");
        default:
          out += {'\\', escaped};
      }
      continue;
    }
    if (in_class) {
      if (c == '[') refuse(pattern, "a class inside a class");
      if (pattern.substr(i, 2) == "&&") refuse(pattern, "an intersection of classes");
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
      // A bracket right behind the opening one is an ordinary character: "[]a]".
      const size_t first = i + 1 + (pattern.substr(i + 1, 1) == "^" ? 1 : 0);
      if (pattern.substr(first, 1) == "]") {
        out += pattern.substr(i, first + 1 - i);
        i = first;
        continue;
      }
    } else if (pattern.substr(i, 2) == "(?" && has_option_m(pattern.substr(i + 2))) {
      refuse(pattern, "the option (?m)");
    }
    out += c;
  }
  return out;
}

struct Pattern::Code {
  std::string source;
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

Pattern::Pattern(std::string_view oniguruma) {
  const auto code = std::make_shared<Code>();
  code->source = oniguruma;
  const std::string pcre2 = oniguruma_to_pcre2(oniguruma);
  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pcre2.data()), pcre2.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, context.get());
  if (!code->code)
    user_error("the pattern '{}' cannot be read: {} at character {} of '{}'", shown(oniguruma), error_text(error),
               offset, shown(pcre2));
  pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);  // without a JIT the interpreter matches the same
  code_ = code;
}

Pattern Pattern::literal(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80 && !std::isalnum(static_cast<unsigned char>(c))) escaped += '\\';
    escaped += c;
  }
  return Pattern(escaped);
}

void Pattern::each_match(std::string_view text, const std::function<void(size_t, size_t)>& found) const {
  thread_local const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  for (size_t at = 0; at < text.size();) {
    int result = pcre2_match(code_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
      result =
          pcre2_match(code_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match.get(), nullptr);
    if (result == PCRE2_ERROR_NOMATCH) return;
    if (result < 0)
      user_error("the tokenizer's pattern '{}' failed on a text of {} bytes: {}", shown(code_->source), text.size(),
                 error_text(result));
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
    if (range[0] < range[1]) {
      at = range[1];
      found(range[0], range[1]);
    } else {  // empty: look again behind the next character
      at = range[1] + 1;
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
    }
  }
}

std::string Pattern::replace(std::string_view text, std::string_view with, size_t most) const {
  std::string out;
  size_t done = 0;
  each_match(text, [&](size_t begin, size_t end) {
    out += text.substr(done, begin - done);
    out += with;
    done = end;
    if (out.size() > most)
      user_error("the tokenizer replaces '{}' by '{}' until a text of {} bytes has more than {}", shown(code_->source),
                 shown(with), text.size(), most);
  });
  return out += text.substr(done);
}

}  // namespace gaggle
