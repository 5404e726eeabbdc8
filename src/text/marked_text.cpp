#include "text/marked_text.h"

#include <algorithm>

#include "text/unicode.h"

namespace gaggle {

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

}  // namespace gaggle
