#include "text/json_model.h"

#include <algorithm>
#include <unordered_set>

#include "base/terminal.h"

namespace gaggle {
namespace {

// A merge is written "left right" or ["left", "right"].
std::pair<std::string, std::string> merge_pair(const Json& node) {
  if (node.is_array() && node.size() == 2) return {node[0].get<std::string>(), node[1].get<std::string>()};
  const auto text = node.is_string() ? node.get<std::string>() : std::string();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
    user_error("model.merges: {} is no pair of tokens", shown(node.dump()));
  return {text.substr(0, space), text.substr(space + 1)};
}

Bpe read_bpe(const Json& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!value_or<std::string>(model, key, "").empty())
      user_error("model.{} '{}' is not supported", key, shown(required_text(model, key)));
  if (value_or(model, "dropout", 0.0) != 0.0) user_error("model.dropout is not supported");
  Bpe bpe;
  for (const auto& [token, id] : model.at("vocab").items()) bpe.ids.emplace(token, read_id(id, token));
  std::string missing;
  int32_t rank = 0;
  for (const Json& node : model.at("merges")) {
    const auto [left, right] = merge_pair(node);
    if (missing = add_merge(bpe, left, right, rank++); !missing.empty()) break;
  }
  if (const auto unknown = value_or<std::string>(model, "unk_token", ""); missing.empty() && !unknown.empty()) {
    bpe.unknown = find_id(bpe.ids, unknown);
    if (!bpe.unknown) missing = unknown;
  }
  if (!missing.empty()) user_error("model.merges uses '{}', which is not in model.vocab", missing);
  bpe.fuse_unknown = value_or(model, "fuse_unk", false);
  bpe.byte_fallback = value_or(model, "byte_fallback", false);
  bpe.ignore_merges = value_or(model, "ignore_merges", false);
  return bpe;
}

Unigram read_unigram(const Json& model) {
  constexpr double kUnknownPenalty = 10;  // below the worst piece: SentencePiece's kUnkPenalty
  for (const auto& [key, unused] : model.items())
    if (key != "type" && key != "vocab" && key != "unk_id" && key != "byte_fallback")
      user_error("model.{} is not supported", key);
  Unigram unigram;
  for (const Json& entry : model.at("vocab")) {
    unigram.ids.insert_or_assign(entry.at(0).get<std::string>(), static_cast<int32_t>(unigram.scores.size()));
    unigram.scores.push_back(entry.at(1).get<double>());
  }
  const auto unknown = value_or<int64_t>(model, "unk_id", -1);
  if (unknown < 0 || unknown >= static_cast<int64_t>(unigram.scores.size()))
    user_error("model.unk_id is {}: a Unigram model needs an unknown token among its {} tokens",
               unknown < 0 ? "missing" : std::to_string(unknown), unigram.scores.size());
  unigram.unknown = static_cast<int32_t>(unknown);
  unigram.unknown_score = std::ranges::min(unigram.scores) - kUnknownPenalty;
  unigram.byte_fallback = value_or(model, "byte_fallback", false);
  return unigram;
}

}  // namespace

std::string model_type(const Json& root) {
  const Json model = root.is_object() ? root.value("model", Json::object()) : Json::object();
  if (!model.is_object()) return "";
  const bool looks_like_bpe = model.contains("merges");  // old files do not say
  return value_or<std::string>(model, "type", looks_like_bpe ? "BPE" : "");
}

int32_t read_id(const Json& node, const std::string& token) {
  constexpr int64_t kMost = 1 << 21;  // above every vocabulary; a name is kept for each id up to a file's largest
  const auto id = whole_number_of<int64_t>(node);
  if (id < 0 || id >= kMost) user_error("the token '{}' has the id {}", shown(token), id);
  return static_cast<int32_t>(id);
}

TokenModel read_model(const Json& model, const std::string& type) {
  if (type == "BPE") return read_bpe(model);
  if (type == "Unigram") return read_unigram(model);
  user_error("the tokenizer model '{}' is not supported (supported: BPE, Unigram)", shown(type));
}

void index_pieces(TokenModel& model, const std::vector<AddedToken>& added) {
  auto* unigram = std::get_if<Unigram>(&model);
  if (!unigram) return;
  std::unordered_set<std::string_view> left_out;
  for (const AddedToken& token : added)
    if (only_in_markup(token)) left_out.insert(token.content);
  for (const auto& [token, id] : unigram->ids)
    if (!token.empty() && id != unigram->unknown && !left_out.contains(token)) unigram->pieces.insert(token, id);
}

KnownTokens known_tokens(const TokenModel& model) {
  if (const auto* unigram = std::get_if<Unigram>(&model))
    return {unigram->ids, static_cast<int32_t>(unigram->scores.size())};
  const TokenIds& ids = std::get<Bpe>(model).ids;
  return {ids, static_cast<int32_t>(ids.size())};
}

}  // namespace gaggle
