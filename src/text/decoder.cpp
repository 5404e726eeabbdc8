#include "text/decoder.h"

#include "base/names.h"
#include "base/terminal.h"
#include "text/byte_level.h"
#include "text/unicode.h"

namespace gaggle {
namespace {

using Tokens = std::vector<std::string>;

constexpr size_t longest_token = 1 << 20;

// The byte of "<0xE2>", or -1.
int fallback_byte(const std::string& token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  if (token.find_first_not_of("0123456789abcdefABCDEF", 3) != 5) return -1;
  return std::stoi(token.substr(3, 2), nullptr, 16);
}

// Changes the tokens in place.
struct ApplyDecoder {
  Tokens& tokens;

  void operator()(const ByteLevelDecoder&) const {
    std::string bytes;
    for (const std::string& token : tokens) bytes += unspell_bytes(token);
    tokens = {valid_utf8(bytes)};
  }

  void operator()(const ByteFallbackDecoder&) const {
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
    tokens = std::move(result);
  }

  void operator()(const FuseDecoder&) const { tokens = {join(tokens, "")}; }

  void operator()(const MetaspaceDecoder& step) const {
    const Pattern replacement = Pattern::literal(step.replacement);
    for (std::string& token : tokens)
      token = replacement.replace(token, step.drop_first && &token == &tokens.front() ? "" : " ", longest_token);
  }

  void operator()(const ReplaceDecoder& step) const {
    for (std::string& token : tokens) token = step.pattern.replace(token, step.with, longest_token);
  }

  void operator()(const StripDecoder& step) const {
    std::string content;
    append_char(content, step.content);
    for (std::string& token : tokens) {
      for (size_t i = 0; i < step.start && token.starts_with(content); ++i) token.erase(0, content.size());
      for (size_t i = 0; i < step.stop && token.ends_with(content); ++i) token.resize(token.size() - content.size());
    }
  }
};

}  // namespace

std::string decode_tokens(const std::vector<DecoderStep>& steps, Tokens tokens) {
  for (const DecoderStep& step : steps) std::visit(ApplyDecoder{tokens}, step);
  return join(tokens, "");
}

}  // namespace gaggle
