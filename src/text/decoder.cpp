#include "text/decoder.h"

#include "text/byte_level.h"
#include "text/unicode.h"

namespace gaggle {
namespace {

using Tokens = std::vector<std::string>;

std::string joined(const Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

// The byte of "<0xE2>", or -1.
int fallback_byte(const std::string& token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  if (token.find_first_not_of("0123456789abcdefABCDEF", 3) != 5) return -1;
  return std::stoi(token.substr(3, 2), nullptr, 16);
}

struct ApplyDecoder {
  Tokens tokens;

  Tokens operator()(const ByteLevelDecoder&) const {
    std::string bytes;
    for (const std::string& token : tokens) bytes += unspell_bytes(token);
    return {valid_utf8(bytes)};
  }

  Tokens operator()(const ByteFallbackDecoder&) const {
    Tokens result;
    std::string bytes;
    const auto flush = [&] {
      if (is_valid_utf8(bytes)) {
        if (!bytes.empty()) result.push_back(bytes);
      } else {
        result.insert(result.end(), bytes.size(), "\uFFFD");
      }
      bytes.clear();
    };
    for (const std::string& token : tokens) {
      if (const int byte = fallback_byte(token); byte >= 0) {
        bytes += static_cast<char>(byte);
      } else {
        flush();
        result.push_back(token);
      }
    }
    flush();
    return result;
  }

  Tokens operator()(const FuseDecoder&) const { return {joined(tokens)}; }

  Tokens operator()(const MetaspaceDecoder& step) const {
    const Pattern replacement = Pattern::literal(step.replacement);
    Tokens result;
    for (const std::string& token : tokens)
      result.push_back(replacement.replace(token, step.drop_first && result.empty() ? "" : " "));
    return result;
  }

  Tokens operator()(const ReplaceDecoder& step) const {
    Tokens result;
    for (const std::string& token : tokens) result.push_back(step.pattern.replace(token, step.with));
    return result;
  }

  Tokens operator()(const StripDecoder& step) const {
    std::string content;
    append_char(content, step.content);
    Tokens result = tokens;
    for (std::string& token : result) {
      for (size_t i = 0; i < step.start && token.starts_with(content); ++i) token.erase(0, content.size());
      for (size_t i = 0; i < step.stop && token.ends_with(content); ++i)
        token.resize(token.size() - content.size());
    }
    return result;
  }
};

}  // namespace

std::string decode_tokens(const std::vector<DecoderStep>& steps, Tokens tokens) {
  for (const DecoderStep& step : steps) tokens = std::visit(ApplyDecoder{std::move(tokens)}, step);
  return joined(tokens);
}

}  // namespace gaggle
