#include "text/added_tokens.h"

#include <algorithm>

#include "base/error.h"
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

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string>& spellings)
    : tokens_(std::move(tokens)) {
  GAGGLE_CHECK(tokens_.size() == spellings.size());
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (spellings[i].empty()) continue;
    first_byte_[static_cast<unsigned char>(spellings[i][0])] = true;
    spelled_.insert(spellings[i], static_cast<int32_t>(i));
  }
}

AddedTokenFinder::Match AddedTokenFinder::longest_at(std::string_view text, size_t at,
                                                     size_t markup_end) const {
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

std::vector<TextPart> AddedTokenFinder::split(std::string_view text,
                                              const std::vector<TextRange>& markup) const {
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
    done =
        std::max(done, end);  // the search goes on at match_end: a token may begin in space that is swallowed
  }
  if (done < text.size()) parts.push_back({-1, done, text.size()});
  return parts;
}

}  // namespace gaggle
