#include "text/tokenizer_json.h"

#include <algorithm>

#include "base/sha256.h"
#include "text/composed_tokenizer.h"
#include "text/json_components.h"
#include "text/json_model.h"

namespace gaggle {
namespace {

using std::filesystem::path;

// What the config asks for and the file leaves open, or does not have.
void settle(const path& file, const TokenizerConfig& config, Tokenizer& tokenizer) {
  apply(config, tokenizer);
  if (config.extra_ids.value_or(0) > 0 && !tokenizer.id_of("<extra_id_0>"))
    user_error("{}: extra_ids is {}, but {} has no <extra_id_0>", config.path.string(), *config.extra_ids,
               file.string());
  // T5's file names no end of text but in the template.
  const std::vector<int32_t>& suffix = tokenizer.suffix;
  if (!tokenizer.eos && !suffix.empty() && tokenizer.token_of(suffix.back()) == "</s>") tokenizer.eos = suffix.back();
}

}  // namespace

std::vector<AddedToken> read_added_tokens(const Json& root, const TokenizerConfig& config) {
  std::vector<AddedToken> added;
  for (const Json& token : root.value("added_tokens", Json::array()))
    added.push_back(read_added_token(token, read_id(token.at("id"), text_at(token, "content"))));
  // tokenizer_config.json has the last word about the flags of a token, and added_tokens.json the first, as in
  // transformers.
  for (const AddedToken& token : config.added) {
    const auto same = std::ranges::find(added, token.content, &AddedToken::content);
    if (same == added.end()) {
      added.push_back(token);
    } else if (config.added_wins) {
      const int32_t id = same->id;
      *same = token;
      same->id = id;
    }
  }
  std::erase_if(added, [](const AddedToken& token) { return token.content.empty(); });
  return added;
}

std::unique_ptr<Tokenizer> tokenizer_from_json(const path& file, const Json& root, const TokenizerConfig& config) {
  const Json null;
  const auto part = [&](const char* key) -> const Json& { return root.contains(key) ? root.at(key) : null; };
  TokenizerParts parts;
  Surroundings around;
  with_place(file.string(), [&] {
    parts.added = read_added_tokens(root, config);
    parts.model = read_model(part("model"), model_type(root), parts.added);
    parts.normalizer = read_normalizer(part("normalizer"));
    read_pre_tokenizer(part("pre_tokenizer"), parts);
    parts.decoder = read_decoder(part("decoder"));
    around = read_post_processor(part("post_processor"));
  });
  const std::vector<AddedToken> added = parts.added;
  std::unique_ptr<Tokenizer> tokenizer = compose_tokenizer(std::move(parts));
  tokenizer->prefix = std::move(around.prefix);
  tokenizer->suffix = std::move(around.suffix);
  settle(file, config, *tokenizer);
  Json deciding = Json::object();
  for (const char* key : {"model", "normalizer", "pre_tokenizer"}) deciding[key] = part(key);
  tokenizer->digest = token_digest(sha256_hex(deciding.dump()), added, *tokenizer);
  return tokenizer;
}

}  // namespace gaggle
