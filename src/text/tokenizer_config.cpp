#include "text/tokenizer_config.h"

#include <algorithm>

#include "base/file.h"

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

// A text, or several with names, of which "default" is the one for chats without more.
std::string read_chat_template(const Json& root) {
  const auto found = root.find("chat_template");
  if (found == root.end() || found->is_null()) return "";
  if (!found->is_array()) return found->get<std::string>();
  for (const Json& entry : *found)
    if (text_at(entry, "name") == "default") return text_at(entry, "template");
  return "";
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
  if (!std::filesystem::exists(config.path)) return config;
  const Json root = read_json_file(config.path);
  with_place(config.path.string(), [&] {
    config.tokenizer_class = value_or<std::string>(root, "tokenizer_class", "");
    config.bos_token = token_text(root, "bos_token");
    config.eos_token = token_text(root, "eos_token");
    config.add_bos_token = optional_value<bool>(root, "add_bos_token");
    config.add_eos_token = optional_value<bool>(root, "add_eos_token");
    if (config.chat_template.empty()) config.chat_template = read_chat_template(root);
    config.extra_ids = optional_value<int>(root, "extra_ids");
    const Json added = root.value("added_tokens_decoder", Json::object());
    for (const auto& [id, token] : added.items()) {
      if (id.empty() || id.size() > 8 || id.find_first_not_of("0123456789") != std::string::npos)
        user_error("added_tokens_decoder has the key '{}', which is no token id", id);
      config.added.push_back(read_added_token(token, std::stoi(id)));
    }
  });
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
