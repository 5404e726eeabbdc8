#include "text/normalizer.h"

namespace gaggle {
namespace {

struct ApplyNormalizer {
  std::string_view text;
  std::string operator()(NormalForm form) const { return normal_form(text, form); }
  std::string operator()(const PrependText& step) const {
    return text.empty() ? std::string() : step.text + std::string(text);
  }
  std::string operator()(const ReplaceText& step) const { return step.pattern.replace(text, step.with); }
};

}  // namespace

std::string normalize(const std::vector<NormalizerStep>& steps, std::string_view text) {
  std::string result(text);
  for (const NormalizerStep& step : steps) result = std::visit(ApplyNormalizer{result}, step);
  return result;
}

}  // namespace gaggle
