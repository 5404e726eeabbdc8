#include "app/text_stream.h"

#include <algorithm>

#include "base/terminal.h"

namespace gaggle {
namespace {

// Spaces are taken away before a few bytes (" n't"), rules one after the other: no more than twice as many are open.
std::string without_open_end(const std::string& text) {
  size_t end = text.size() - std::min<size_t>(text.size(), 8);
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

void TextStream::add(int32_t token) {
  ids_.push_back(token);
  std::string text = tokenizer_.decode(ids_);
  if (text.ends_with("\xEF\xBF\xBD")) return;
  if (tokenizer_.clean_up_spaces) text = without_open_end(text);
  if (text.starts_with(printed_)) print(text);
}

void TextStream::finish() { print(tokenizer_.decode(ids_) + "\n"); }

void TextStream::print(const std::string& text) {
  if (text.size() > printed_.size()) write_out(std::string_view(text).substr(printed_.size()));
  printed_ = text;
}

}  // namespace gaggle
