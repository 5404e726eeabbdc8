#include "text/tokenizer_json.h"

#include <algorithm>
#include <unordered_set>

#include "base/sha256.h"
#include "text/composed_tokenizer.h"
#include "text/json_components.h"
#include "text/json_model.h"
#include "text/tokenizer_class.h"

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

// Added tokens as the tokenizers library keeps them: the id goes by the spelling, whatever a file says of it. One that
// is in the vocabulary has its id there, another the next that is free.
class AddedVocabulary {
 public:
  explicit AddedVocabulary(const KnownTokens& vocabulary) : vocabulary_(vocabulary), next_(vocabulary.count) {}

  bool contains(const std::string& content) const { return places_.contains(content); }

  // The last flags of a token count, but what was special once stays special.
  void add(AddedToken token) {
    if (token.content.empty()) return;
    const auto [place, fresh] = places_.try_emplace(token.content, static_cast<int32_t>(tokens.size()));
    if (fresh) {
      token.id = find_id(vocabulary_.ids, token.content).value_or(next_);
      next_ = std::max(next_, token.id + 1);
      tokens.push_back(std::move(token));
    } else {
      AddedToken& known = tokens[static_cast<size_t>(place->second)];
      token.id = known.id;
      token.special |= known.special;
      known = std::move(token);
    }
  }

  std::vector<AddedToken> tokens;

 private:
  const KnownTokens& vocabulary_;
  TokenIds places_;  // in `tokens`
  int32_t next_;
};

// The one component that the config has a say in: whether words begin with a space, where the file has no more than
// ByteLevel; transformers' default is no.
Json pre_tokenizer_of(const Json& root, const TokenizerConfig& config) {
  Json node = root.value("pre_tokenizer", Json());
  const bool by_class = !config.tokenizer_class.empty() && !tokenizer_class(config.tokenizer_class).space_by_model;
  const bool asked = config.add_prefix_space || (by_class && !config.space_as_it_is);
  if (asked && node.is_object() && node.value("type", Json()) == "ByteLevel")
    node["add_prefix_space"] = config.add_prefix_space.value_or(false);
  return node;
}

}  // namespace

std::vector<AddedToken> read_added_tokens(const Json& root, const KnownTokens& vocabulary,
                                          const TokenizerConfig& config) {
  AddedVocabulary added(vocabulary);
  std::unordered_set<int32_t> ids;  // as the file has them
  for (const Json& token : root.value("added_tokens", Json::array())) {
    added.add(read_added_token(token, -1));
    ids.insert(read_id(token.at("id"), required_text(token, "content")));
  }
  std::vector<AddedToken> again = config.added;
  if (!config.added_wins) {
    // Without added_tokens_decoder the file's own take its place, and the last word about an id.
    std::erase_if(again, [&](const AddedToken& token) { return ids.contains(token.id); });
    again.insert(again.end(), added.tokens.begin(), added.tokens.end());
  }
  std::unordered_set<std::string_view> named, decoded;
  for (const NamedToken& one : config.named) named.insert(one.token.content);
  for (AddedToken& token : again) {
    decoded.insert(token.content);
    token.special |= named.contains(token.content);
  }
  for (const AddedToken& token : again) added.add(token);
  refuse_unknown(config, [&](auto& token) { return added.contains(token) || vocabulary.ids.contains(token); });
  for (const NamedToken& one : config.named) {
    const bool flags_known = !one.written_out || (one.key.ends_with("_token") && decoded.contains(one.token.content));
    if (!added.contains(one.token.content) || !flags_known) added.add(one.token);
  }
  return std::move(added.tokens);
}

std::unique_ptr<Tokenizer> tokenizer_from_json(const path& file, const Json& root, const TokenizerConfig& config) {
  const Json null;
  const auto part = [&](const char* key) -> const Json& { return root.contains(key) ? root.at(key) : null; };
  TokenizerParts parts;
  Surroundings around;
  Json pre_tokenizer;
  with_place(file.string(), [&] {
    parts.model = read_model(part("model"), model_type(root));
    parts.added = read_added_tokens(root, known_tokens(parts.model), config);
    index_pieces(parts.model, parts.added);
    parts.normalizer = read_normalizer(part("normalizer"));
    pre_tokenizer = pre_tokenizer_of(root, config);
    read_pre_tokenizer(pre_tokenizer, parts);
    parts.decoder = read_decoder(part("decoder"));
    around = read_post_processor(part("post_processor"));
  });
  const std::vector<AddedToken> added = parts.added;
  std::unique_ptr<Tokenizer> tokenizer = compose_tokenizer(std::move(parts));
  tokenizer->prefix = std::move(around.prefix);
  tokenizer->suffix = std::move(around.suffix);
  settle(file, config, *tokenizer);
  const Json deciding = {
      {"model", part("model")}, {"normalizer", part("normalizer")}, {"pre_tokenizer", pre_tokenizer}};
  tokenizer->digest = token_digest(sha256_hex(deciding.dump()), added, *tokenizer);
  return tokenizer;
}

}  // namespace gaggle
