#include "text/normalizer.h"

#include "base/error.h"

namespace gaggle {
namespace {

bool nmt_leaves_out(char32_t c) {
  return (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
}

bool nmt_makes_space(char32_t c) {
  return c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
         c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
}

struct ApplyNormalizer {
  std::string_view text;
  size_t most;  // bytes
  std::string operator()(NormalForm form) const { return normal_form(text, form); }
  std::string operator()(const PrependText& step) const {
    return text.empty() ? std::string() : step.text + std::string(text);
  }
  std::string operator()(const ReplaceText& step) const { return step.pattern.replace(text, step.with, most); }
  std::string operator()(const StripSpace& step) const {
    std::string_view rest = text;
    if (step.left) rest.remove_prefix(space_at_start(rest));
    if (step.right) rest = rest.substr(0, without_space_at_end(rest));
    return std::string(rest);
  }
  std::string operator()(const NmtRule&) const {
    std::string result;
    for (size_t at = 0; at < text.size();) {
      const char32_t c = next_char(text, at);
      if (!nmt_leaves_out(c)) append_char(result, nmt_makes_space(c) ? U' ' : c);
    }
    return result;
  }
  std::string operator()(const Charsmap& map) const { return map.apply(text); }
};

}  // namespace

std::string normalize(const std::vector<NormalizerStep>& steps, std::string_view text) {
  std::string result(text);
  // Steps that multiply what they are given would, one after the other, fill any memory.
  const size_t most = 100 * text.size() + 10'000;
  for (const NormalizerStep& step : steps) {
    result = std::visit(ApplyNormalizer{result, most}, step);
    if (result.size() > most)
      user_error("the tokenizer's normalizer makes {} bytes of a text of {}", result.size(), text.size());
  }
  return result;
}

}  // namespace gaggle
