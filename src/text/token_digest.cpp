#include "text/token_digest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/sha256.h"

namespace gaggle {

std::string token_digest(const std::string& model, const std::vector<AddedToken>& added,
                         const Tokenizer& tokenizer) {
  Sha256 sha;
  sha.update(model);
  for (const AddedToken& token : added)
    sha.update(fmt::format("\n{} {} {}{}{}{}{} {}", token.id, token.content.size(), token.special ? 1 : 0,
                           token.single_word ? 1 : 0, token.lstrip ? 1 : 0, token.rstrip ? 1 : 0,
                           token.normalized ? 1 : 0, token.content));
  sha.update(fmt::format("\nprefix {} suffix {} bos {} eos {}", fmt::join(tokenizer.prefix, ","),
                         fmt::join(tokenizer.suffix, ","), tokenizer.bos.value_or(-1),
                         tokenizer.eos.value_or(-1)));
  return sha.hex();
}

}  // namespace gaggle
