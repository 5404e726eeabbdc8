#include "text/tokenizer.h"

#include "base/error.h"
#include "text/gguf_tokenizer.h"
#include "text/json_model.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_class.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

// The SentencePiece model in a folder, or "".
fs::path sentencepiece_in(const fs::path& folder) {
  for (const char* name : {"tokenizer.model", "spiece.model"})
    if (fs::exists(folder / name)) return folder / name;
  return {};
}

// Llama's class with add_prefix_space: transformers converts tokenizer.model anew, whose pieces tokenizer.json has,
// with the rules for spaces that "legacy" and add_prefix_space ask for.
void set_llama_spaces(Json& root, const TokenizerConfig& config) {
  const bool prefix = *config.add_prefix_space;
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  const Json back = {{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}};
  root["normalizer"] = root["pre_tokenizer"] = Json();
  if (config.legacy) {
    root["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array()}};
    Json& steps = root["normalizer"]["normalizers"];
    if (prefix) steps.push_back({{"type", "Prepend"}, {"prepend", "▁"}});
    steps.push_back(replace);
  } else {
    root["pre_tokenizer"] = {
        {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", prefix ? "first" : "never"}, {"split", false}};
  }
  Json decoders = {back, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  root["decoder"] = {{"type", "Sequence"}, {"decoders", decoders}};
}

// A folder without tokenizer.json, where null is no, as in Python.
std::unique_ptr<Tokenizer> from_model(const fs::path& file) {
  TokenizerConfig config = read_tokenizer_config(file.parent_path());
  if (config.space_as_it_is) config.add_prefix_space = false;
  return tokenizer_from_sentencepiece(file, config);
}

std::unique_ptr<Tokenizer> from_json(const fs::path& file) {
  TokenizerConfig config = read_tokenizer_config(file.parent_path());
  Json root = read_json_file(file);
  const fs::path original = sentencepiece_in(file.parent_path());
  // A Unigram model's tokenizer.json was converted from the SentencePiece file beside it, and cuts some texts
  // otherwise (it keeps a blank at the end, and maps characters by grapheme clusters). T5 was trained with
  // SentencePiece: that file has the last word, and tokenizer.json says which tokens were added.
  if (model_type(root) == "Unigram" && !original.empty()) {
    config.added = with_place(file.string(), [&] {
      const TokenModel model = read_model(root.at("model"), model_type(root));
      return read_added_tokens(root, known_tokens(model), config);
    });
    return tokenizer_from_sentencepiece(original, config);
  }
  with_place(file.string(), [&] {
    const bool of_pieces = model_type(root) == "BPE" && value_or(root["model"], "byte_fallback", false);
    const bool by_model = tokenizer_class(config.tokenizer_class).space_by_model && !original.empty();
    if (of_pieces && by_model && config.add_prefix_space) set_llama_spaces(root, config);
  });
  return tokenizer_from_json(file, root, config);
}

}  // namespace

std::string without_stray_spaces(std::string text) {
  static constexpr std::pair<std::string_view, std::string_view> kPairs[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kPairs) replace_every(text, from, to);
  return text;
}

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& path) {
  if (!fs::exists(path)) user_error("{}: no such file or folder: a tokenizer was looked for there", path.string());
  if (!fs::is_directory(path)) {
    if (path.extension() == ".gguf") return tokenizer_from_gguf(path);
    if (path.extension() == ".json") return from_json(path);
    if (path.extension() == ".model") return from_model(path);
    user_error("{}: a tokenizer is a folder, a .gguf file, tokenizer.json, or a SentencePiece .model", path.string());
  }
  if (fs::exists(path / "tokenizer.json")) return from_json(path / "tokenizer.json");
  const fs::path model = sentencepiece_in(path);
  if (model.empty())
    user_error("{}: no tokenizer here: looked for tokenizer.json, tokenizer.model and spiece.model", path.string());
  return from_model(model);
}

}  // namespace gaggle
