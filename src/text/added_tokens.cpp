#include "text/added_tokens.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/sha256.h"
#include "text/unicode.h"

namespace gaggle {
namespace {

bool first_char_is(std::string_view text, bool (*property)(char32_t)) {
  size_t at = 0;
  return !text.empty() && property(next_char(text, at));
}

bool last_char_is(std::string_view text, bool (*property)(char32_t)) {
  return !text.empty() && first_char_is(text.substr(last_char_start(text)), property);
}

}  // namespace

bool only_in_markup(const AddedToken& token) {
  static constexpr std::string_view kMarkers[] = {"[INST]", "[/INST]",         "<s>",
                                                  "</s>",   "<start_of_turn>", "<end_of_turn>"};
  const std::string_view text = token.content;
  return token.special || (text.starts_with("<|") && text.ends_with("|>")) ||
         std::ranges::find(kMarkers, text) != std::end(kMarkers);
}

MarkedText joined(std::span<const TextPiece> pieces) {
  MarkedText all;
  for (const TextPiece& piece : pieces) {
    const size_t begin = all.text.size();
    all.text += valid_utf8(piece.text);
    if (!piece.markup || all.text.size() == begin) continue;
    if (!all.markup.empty() && all.markup.back().end == begin)
      all.markup.back().end = all.text.size();
    else
      all.markup.push_back({begin, all.text.size()});
  }
  return all;
}

MarkedText cut(const MarkedText& all, size_t begin, size_t end) {
  MarkedText part{all.text.substr(begin, end - begin), {}};
  for (const TextRange& range : all.markup) {
    const TextRange inside{std::max(range.begin, begin), std::min(range.end, end)};
    if (inside.begin < inside.end) part.markup.push_back({inside.begin - begin, inside.end - begin});
  }
  return part;
}

void AddedTokenFinder::add(const AddedToken& token, std::string_view spelling) {
  if (!spelling.empty()) {
    first_byte_[static_cast<unsigned char>(spelling[0])] = true;
    spelled_.insert(spelling, static_cast<int32_t>(tokens_.size()));
  }
  tokens_.push_back(token);
}

AddedTokenFinder::Match AddedTokenFinder::longest_at(std::string_view text, size_t at, size_t markup_end) const {
  Match longest;
  uint32_t node = ByteTrie::kRoot;
  for (size_t end = at; end < text.size();) {
    const auto next = spelled_.next(node, text[end++]);
    if (!next) break;
    node = *next;
    const int32_t index = spelled_.value(node);
    if (index < 0) continue;
    const AddedToken& token = tokens_[static_cast<size_t>(index)];
    if (end <= markup_end || !only_in_markup(token)) longest = {&token, end};
  }
  return longest;
}

std::vector<TextPart> AddedTokenFinder::split(const MarkedText& marked) const {
  const auto& [whole, markup] = marked;
  const std::string_view text = whole;
  std::vector<TextPart> parts;
  size_t done = 0;
  auto range = markup.begin();
  for (size_t at = 0; !tokens_.empty() && at < text.size();) {
    if (!first_byte_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    while (range != markup.end() && range->end <= at) ++range;
    const bool in_markup = range != markup.end() && range->begin <= at;
    const auto [token, match_end] = longest_at(text, at, in_markup ? range->end : at);
    if (!token) {
      ++at;
      continue;
    }
    size_t begin = at;
    size_t end = match_end;
    at = match_end;
    if (token->single_word &&
        (last_char_is(text.substr(0, begin), is_word_char) || first_char_is(text.substr(end), is_word_char)))
      continue;
    if (token->lstrip) begin = std::max(done, without_space_at_end(text.substr(0, begin)));
    if (token->rstrip) end += space_at_start(text.substr(end));
    if (done < begin) parts.push_back({-1, done, begin});
    parts.push_back({token->id, begin, end});
    done = std::max(done, end);  // the search goes on at match_end: a token may begin in swallowed space
  }
  if (done < text.size()) parts.push_back({-1, done, text.size()});
  return parts;
}

std::string token_digest(const std::string& model, const std::vector<AddedToken>& added, const Tokenizer& tokenizer) {
  Sha256 sha;
  sha.update(model);
  for (const AddedToken& token : added)
    sha.update(fmt::format("\n{} {} {}{}{}{}{} {}", token.id, token.content.size(), token.special ? 1 : 0,
                           token.single_word ? 1 : 0, token.lstrip ? 1 : 0, token.rstrip ? 1 : 0,
                           token.normalized ? 1 : 0, token.content));
  sha.update(fmt::format("\nprefix {} suffix {} bos {} eos {}", fmt::join(tokenizer.prefix, ","),
                         fmt::join(tokenizer.suffix, ","), tokenizer.bos.value_or(-1), tokenizer.eos.value_or(-1)));
  return sha.hex();
}

}  // namespace gaggle
