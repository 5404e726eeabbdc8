#include "text/tokenizer_json.h"

#include <algorithm>

#include "base/sha256.h"
#include "text/bpe_tokenizer.h"
#include "text/json_components.h"
#include "text/token_digest.h"

namespace gaggle {
namespace {

using std::filesystem::path;

int32_t checked_id(const path& file, const Json& node, const std::string& token) {
  constexpr int64_t kMost = 1 << 24;  // far above any vocabulary: a larger id is a damaged file
  const auto id = node.get<int64_t>();
  if (id < 0 || id >= kMost) user_error("{}: the token '{}' has the id {}", file.string(), token, id);
  return static_cast<int32_t>(id);
}

// A merge is written "left right" or ["left", "right"].
std::pair<std::string, std::string> merge_pair(const path& file, const Json& node) {
  if (node.is_array() && node.size() == 2) return {node[0].get<std::string>(), node[1].get<std::string>()};
  const auto text = node.is_string() ? node.get<std::string>() : std::string();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
    user_error("{}: model.merges: {} is no pair of tokens", file.string(), node.dump());
  return {text.substr(0, space), text.substr(space + 1)};
}

Bpe read_bpe(const path& file, const Json& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!value_or<std::string>(model, key, "").empty())
      user_error("{}: model.{} '{}' is not supported", file.string(), key, model.at(key).get<std::string>());
  if (value_or(model, "dropout", 0.0) != 0.0) user_error("{}: model.dropout is not supported", file.string());
  Bpe bpe;
  for (const auto& [token, id] : model.at("vocab").items()) bpe.ids.emplace(token, checked_id(file, id, token));
  const auto known = [&](const std::string& token) {
    const auto found = bpe.ids.find(token);
    if (found == bpe.ids.end())
      user_error("{}: model.merges uses '{}', which is not in model.vocab", file.string(), token);
    return found->second;
  };
  int32_t rank = 0;
  for (const Json& node : model.at("merges")) {
    const auto [left, right] = merge_pair(file, node);
    bpe.merges.insert_or_assign(Bpe::pair_key(known(left), known(right)), Merge{rank++, known(left + right)});
  }
  if (const auto unknown = value_or<std::string>(model, "unk_token", ""); !unknown.empty())
    bpe.unknown = known(unknown);
  bpe.fuse_unknown = value_or(model, "fuse_unk", false);
  bpe.byte_fallback = value_or(model, "byte_fallback", false);
  bpe.ignore_merges = value_or(model, "ignore_merges", false);
  return bpe;
}

std::vector<AddedToken> read_added(const path& file, const Json& root, const TokenizerConfig& config) {
  std::vector<AddedToken> added;
  for (const Json& token : root.value("added_tokens", Json::array())) {
    const auto content = token.at("content").get<std::string>();
    added.push_back({.id = checked_id(file, token.at("id"), content),
                     .content = content,
                     .special = value_or(token, "special", false),
                     .single_word = value_or(token, "single_word", false),
                     .lstrip = value_or(token, "lstrip", false),
                     .rstrip = value_or(token, "rstrip", false),
                     .normalized = value_or(token, "normalized", true)});
  }
  // tokenizer_config.json has the last word about the flags of a token, as in transformers.
  for (const AddedToken& token : config.added) {
    const auto same = std::ranges::find(added, token.content, &AddedToken::content);
    if (same == added.end()) {
      added.push_back(token);
    } else {
      const int32_t id = same->id;
      *same = token;
      same->id = id;
    }
  }
  std::erase_if(added, [](const AddedToken& token) { return token.content.empty(); });
  return added;
}

}  // namespace

std::string model_type(const Json& root) {
  const Json model = root.is_object() ? root.value("model", Json::object()) : Json::object();
  if (!model.is_object()) return "";
  const bool looks_like_bpe = model.contains("merges");  // old files do not say
  return value_or<std::string>(model, "type", looks_like_bpe ? "BPE" : "");
}

std::unique_ptr<Tokenizer> tokenizer_from_json(const path& file, const Json& root,
                                               const TokenizerConfig& config) {
  return with_file_name(file, [&] {
    if (model_type(root) != "BPE")
      user_error("{}: the tokenizer model '{}' is not supported (BPE is; Unigram is read from spiece.model)",
                 file.string(), model_type(root));
    const Json null;
    const auto part = [&](const char* key) -> const Json& { return root.contains(key) ? root.at(key) : null; };
    BpeParts parts;
    parts.bpe = read_bpe(file, root.at("model"));
    parts.added = read_added(file, root, config);
    parts.normalizer = read_normalizer(file, part("normalizer"));
    PreTokenizerParts pre_tokenizer = read_pre_tokenizer(file, part("pre_tokenizer"));
    parts.pre_tokenizer = std::move(pre_tokenizer.steps);
    parts.byte_level = pre_tokenizer.byte_level;
    parts.decoder = read_decoder(file, part("decoder"));
    const std::vector<AddedToken> added = parts.added;
    std::unique_ptr<Tokenizer> tokenizer = make_bpe_tokenizer(std::move(parts));
    Surroundings around = read_post_processor(file, part("post_processor"));
    tokenizer->prefix = std::move(around.prefix);
    tokenizer->suffix = std::move(around.suffix);
    apply(config, *tokenizer);
    Json deciding = Json::object();
    for (const char* key : {"model", "normalizer", "pre_tokenizer"}) deciding[key] = part(key);
    tokenizer->digest = token_digest(sha256_hex(deciding.dump()), added, *tokenizer);
    return tokenizer;
  });
}

}  // namespace gaggle
