#include "text/tokenizer.h"

#include "base/error.h"
#include "text/gguf_tokenizer.h"
#include "text/json_model.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

// The SentencePiece model in a folder, or "".
fs::path sentencepiece_in(const fs::path& folder) {
  for (const char* name : {"tokenizer.model", "spiece.model"})
    if (fs::exists(folder / name)) return folder / name;
  return {};
}

std::unique_ptr<Tokenizer> from_json(const fs::path& file) {
  TokenizerConfig config = read_tokenizer_config(file.parent_path());
  const Json root = read_json_file(file);
  // A Unigram model's tokenizer.json was converted from the SentencePiece file beside it, and cuts some texts
  // otherwise (it keeps a blank at the end, and maps characters by grapheme clusters). T5 was trained with
  // SentencePiece: that file has the last word, and tokenizer.json says which tokens were added.
  const fs::path original = sentencepiece_in(file.parent_path());
  if (model_type(root) == "Unigram" && !original.empty()) {
    config.added = with_place(file.string(), [&] { return read_added_tokens(root, config); });
    return tokenizer_from_sentencepiece(original, config);
  }
  return tokenizer_from_json(file, root, config);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& path) {
  if (!fs::exists(path)) user_error("{}: no such file or folder: a tokenizer was looked for there", path.string());
  if (!fs::is_directory(path)) {
    if (path.extension() == ".gguf") return tokenizer_from_gguf(path);
    if (path.extension() == ".json") return from_json(path);
    if (path.extension() == ".model")
      return tokenizer_from_sentencepiece(path, read_tokenizer_config(path.parent_path()));
    user_error("{}: a tokenizer is a folder, a .gguf file, tokenizer.json, or a SentencePiece .model", path.string());
  }
  if (fs::exists(path / "tokenizer.json")) return from_json(path / "tokenizer.json");
  const fs::path model = sentencepiece_in(path);
  if (model.empty())
    user_error("{}: no tokenizer here: looked for tokenizer.json, tokenizer.model and spiece.model", path.string());
  return tokenizer_from_sentencepiece(model, read_tokenizer_config(path));
}

}  // namespace gaggle
