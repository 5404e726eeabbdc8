#include "text/tokenizer_config.h"

#include <algorithm>
#include <set>

#include "base/file.h"
#include "text/json_model.h"

namespace gaggle {
namespace {

// A token is written as a string or as {"content": …}.
std::optional<std::string> token_text(const Json& root, const char* key) {
  const auto found = root.find(key);
  if (found == root.end() || found->is_null()) return std::nullopt;
  return found->is_object() ? text_at(*found, "content") : found->get<std::string>();
}

// Classes whose post-processor transformers makes anew from add_bos_token (default true) and add_eos_token.
bool makes_own_rule(const std::string& tokenizer_class) {
  static constexpr std::string_view kClasses[] = {"Llama", "CodeLlama", "Gemma", "Cohere"};
  return std::ranges::any_of(kClasses, [&](std::string_view name) {
    return tokenizer_class == std::string(name) + "Tokenizer" || tokenizer_class == std::string(name) + "TokenizerFast";
  });
}

// A text, or several with names, of which "default" is the one for chats without more. Anything else is none: whether
// the tokenizer is read does not hang on it.
std::string read_chat_template(const Json& root) {
  const Json found = root.value("chat_template", Json());
  if (found.is_string()) return found.get<std::string>();
  for (const Json& entry : found.is_array() ? found : Json::array())
    if (entry.is_object() && entry.value("name", Json()) == "default" && entry.contains("template") &&
        entry["template"].is_string())
      return entry["template"].get<std::string>();
  return "";
}

// Before added_tokens_decoder: special_tokens_map.json names the tokens, and has the last word about them, and
// added_tokens.json says which were added under which id.
void read_old_files(const std::filesystem::path& folder, TokenizerConfig& config) {
  Json map = Json::object(), added = Json::object();
  const std::filesystem::path map_file = folder / "special_tokens_map.json", added_file = folder / "added_tokens.json";
  std::set<std::string> special;
  if (std::filesystem::exists(map_file)) map = read_json_file(map_file);
  with_place(map_file.string(), [&] {
    if (const auto token = token_text(map, "bos_token")) config.bos_token = token;
    if (const auto token = token_text(map, "eos_token")) config.eos_token = token;
    for (const char* key : {"unk_token", "pad_token", "sep_token", "cls_token", "mask_token"})
      if (const auto token = token_text(map, key)) special.insert(*token);
    for (const Json& token : map.value("additional_special_tokens", Json::array()))
      special.insert(token.is_object() ? text_at(token, "content") : token.get<std::string>());
  });
  for (const auto& token : {config.bos_token, config.eos_token})
    if (token) special.insert(*token);
  if (std::filesystem::exists(added_file)) added = read_json_file(added_file);
  with_place(added_file.string(), [&] {
    for (const auto& [text, id] : added.items())
      config.added.push_back({.id = read_id(id, text),
                              .content = text,
                              .special = special.contains(text),
                              .normalized = !special.contains(text)});
  });
}

int32_t id_of(const TokenizerConfig& config, const Tokenizer& tokenizer, const char* key, const std::string& token) {
  const auto id = tokenizer.id_of(token);
  if (!id) user_error("{}: {} is '{}', which the tokenizer does not have", config.path.string(), key, token);
  return *id;
}

}  // namespace

AddedToken read_added_token(const Json& node, int32_t id) {
  return {.id = id,
          .content = text_at(node, "content"),
          .special = value_or(node, "special", false),
          .single_word = value_or(node, "single_word", false),
          .lstrip = value_or(node, "lstrip", false),
          .rstrip = value_or(node, "rstrip", false),
          .normalized = value_or(node, "normalized", true)};
}

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) {
  TokenizerConfig config;
  config.path = folder / "tokenizer_config.json";
  const std::filesystem::path jinja = folder / "chat_template.jinja";
  if (std::filesystem::exists(jinja)) config.chat_template = read_file(jinja);
  const Json root = std::filesystem::exists(config.path) ? read_json_file(config.path) : Json::object();
  with_place(config.path.string(), [&] {
    config.tokenizer_class = value_or<std::string>(root, "tokenizer_class", "");
    config.bos_token = token_text(root, "bos_token");
    config.eos_token = token_text(root, "eos_token");
    config.add_bos_token = optional_value<bool>(root, "add_bos_token");
    config.add_eos_token = optional_value<bool>(root, "add_eos_token");
    if (config.chat_template.empty()) config.chat_template = read_chat_template(root);
    config.extra_ids = optional_value<int>(root, "extra_ids");
    config.legacy = value_or(root, "legacy", true);
    config.added_wins = root.contains("added_tokens_decoder");
    const Json added = root.value("added_tokens_decoder", Json::object());
    for (const auto& [id, token] : added.items()) {
      if (id.empty() || id.size() > 8 || id.find_first_not_of("0123456789") != std::string::npos)
        user_error("added_tokens_decoder has the key '{}', which is no token id", id);
      config.added.push_back(read_added_token(token, std::stoi(id)));
    }
  });
  if (!config.added_wins) read_old_files(folder, config);
  return config;
}

void apply(const TokenizerConfig& config, Tokenizer& tokenizer) {
  tokenizer.chat_template = config.chat_template;
  if (config.bos_token) tokenizer.bos = id_of(config, tokenizer, "bos_token", *config.bos_token);
  if (config.eos_token) tokenizer.eos = id_of(config, tokenizer, "eos_token", *config.eos_token);
  if (!makes_own_rule(config.tokenizer_class)) return;
  tokenizer.prefix.clear();
  tokenizer.suffix.clear();
  const auto add = [&](bool wanted, const char* key, std::optional<int32_t> id, std::vector<int32_t>& place) {
    if (!wanted) return;
    if (!id) user_error("{}: {} is true, but the token is not named", config.path.string(), key);
    place.push_back(*id);
  };
  add(config.add_bos_token.value_or(true), "add_bos_token", tokenizer.bos, tokenizer.prefix);
  add(config.add_eos_token.value_or(false), "add_eos_token", tokenizer.eos, tokenizer.suffix);
}

}  // namespace gaggle
