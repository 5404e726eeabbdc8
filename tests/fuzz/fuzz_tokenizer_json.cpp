// tokenizer.json, then texts there and back by what it describes.
#include "base/json.h"
#include "fuzz.h"
#include "text/tokenizer_json.h"

void gaggle::fuzz::try_input(std::string_view bytes) {
  const Json root = with_place("tokenizer.json", [&] { return parse_json(bytes); });
  const auto tokenizer = tokenizer_from_json("tokenizer.json", root, {});
  for (const std::string_view text : {"The hen  has 12 eggs.\n", "<|end|> \u00e9\u0301 \u2581\U0001f95a\xff </s>"}) {
    attempt([&] { tokenizer->decode(tokenizer->encode_plain(text)); });
    attempt([&] { tokenizer->decode(tokenizer->encode_markup(text)); });
  }
}
