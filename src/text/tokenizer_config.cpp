#include "text/tokenizer_config.h"

#include <algorithm>

#include "base/file.h"
#include "base/terminal.h"
#include "text/json_model.h"
#include "text/tokenizer_class.h"

namespace gaggle {
namespace {

// A token is written as a string or as {"content": …}.
NamedToken read_named(const std::string& key, const Json& node) {
  if (node.is_object()) {
    NamedToken named{key, read_added_token(node, -1), true};
    named.token.special = true;
    return named;
  }
  return {key, {.content = node.get<std::string>(), .special = true}};
}

// The tokens with a meaning, in transformers' order. `map`: special_tokens_map.json, which has the last word.
std::vector<NamedToken> read_named_tokens(const Json& root, const Json& map, const TokenizerClass& by_class) {
  std::vector<NamedToken> named;
  const std::pair<const char*, std::string_view> keys[] = {
      {"bos_token", by_class.bos}, {"eos_token", by_class.eos}, {"unk_token", by_class.unk}, {"sep_token", ""},
      {"pad_token", by_class.pad}, {"cls_token", ""},           {"mask_token", ""}};
  for (const auto& [key, otherwise] : keys) {
    const Json& file = map.contains(key) ? map : root;
    if (!file.contains(key)) {
      if (!otherwise.empty()) named.push_back({key, {.content = std::string(otherwise), .special = true}, false, true});
    } else if (!file[key].is_null()) {
      named.push_back(read_named(key, file[key]));
    }
  }
  for (const Json* file : {&root, &map}) {
    const auto found = file->find("additional_special_tokens");
    if (found == file->end() || found->is_null()) continue;
    for (const Json& token : *found) named.push_back(read_named(found.key(), token));
  }
  const Json extra = root.value("extra_special_tokens", Json::object());
  for (const auto& [key, token] : extra.items()) named.push_back(read_named("extra_special_tokens", token));
  return named;
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

// Before added_tokens_decoder, added_tokens.json said which tokens were added under which id.
std::vector<AddedToken> read_old_added_tokens(const std::filesystem::path& file, const TokenizerConfig& config) {
  std::vector<AddedToken> added;
  if (!std::filesystem::exists(file)) return added;
  const Json root = read_json_file(file);
  with_place(file.string(), [&] {
    for (const auto& [text, id] : root.items()) {
      const auto names_it = [&, &text = text](const auto& one) { return one.token.content == text; };
      const bool special = std::ranges::any_of(config.named, names_it);
      added.push_back({.id = read_id(id, text), .content = text, .special = special, .normalized = !special});
    }
  });
  return added;
}

std::vector<AddedToken> read_added_tokens_decoder(const Json& root) {
  std::vector<AddedToken> added;
  const Json tokens = root.value("added_tokens_decoder", Json::object());
  for (const auto& [id, token] : tokens.items()) {
    if (id.empty() || id.size() > 8 || id.find_first_not_of("0123456789") != std::string::npos)
      user_error("added_tokens_decoder has the key '{}', which is no token id", id);
    added.push_back(read_added_token(token, std::stoi(id)));
  }
  return added;
}

// "tokenizer_class" of the config, else of the model's config.json.
std::string read_tokenizer_class(const Json& root, const std::filesystem::path& folder) {
  auto name = value_or<std::string>(root, "tokenizer_class", "");
  const std::filesystem::path model = folder / "config.json";
  if (!name.empty() || !std::filesystem::exists(model)) return name;
  const Json of_model = read_json_file(model);
  return with_place(model.string(), [&] { return value_or<std::string>(of_model, "tokenizer_class", ""); });
}

// A flag that is null is false, as in Python; one that is missing is left to the class.
std::optional<bool> read_flag(const Json& root, const char* key) {
  return root.contains(key) ? value_or(root, key, false) : optional_value<bool>(root, key);
}

const NamedToken* named_token(const TokenizerConfig& config, std::string_view key) {
  const auto found = std::ranges::find(config.named, key, &NamedToken::key);
  return found == config.named.end() ? nullptr : &*found;
}

// Nothing where no token has this meaning, or a class means one that the tokenizer has not.
std::optional<int32_t> id_of(const TokenizerConfig& config, const Tokenizer& tokenizer, std::string_view key) {
  const NamedToken* named = named_token(config, key);
  return named ? tokenizer.id_of(named->token.content) : std::nullopt;
}

}  // namespace

AddedToken read_added_token(const Json& node, int32_t id) {
  return {.id = id,
          .content = required_text(node, "content"),
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
  const auto read_if_there = [](const std::filesystem::path& file) {
    return std::filesystem::exists(file) ? read_json_file(file) : Json::object();
  };
  const Json root = read_if_there(config.path);
  const std::filesystem::path map_file = folder / "special_tokens_map.json";
  Json map = Json::object();
  with_place(config.path.string(), [&] {
    config.tokenizer_class = read_tokenizer_class(root, folder);
    config.add_bos_token = read_flag(root, "add_bos_token");
    config.add_eos_token = read_flag(root, "add_eos_token");
    config.add_prefix_space = optional_value<bool>(root, "add_prefix_space");
    config.space_as_it_is = root.contains("add_prefix_space") && !config.add_prefix_space;
    config.clean_up_spaces = value_or(root, "clean_up_tokenization_spaces", false);
    if (value_or(root, "split_special_tokens", false))
      user_error(
          "split_special_tokens is true, which is not supported: the markers of a prompt would be cut into letters");
    if (config.chat_template.empty()) config.chat_template = read_chat_template(root);
    config.extra_ids = optional_value<int>(root, "extra_ids");
    config.legacy = value_or(root, "legacy", true);
    config.added_wins = root.contains("added_tokens_decoder");
    config.added = read_added_tokens_decoder(root);
  });
  if (!config.added_wins) map = read_if_there(map_file);
  with_place((map.empty() ? config.path : map_file).string(),
             [&] { config.named = read_named_tokens(root, map, tokenizer_class(config.tokenizer_class)); });
  if (!config.added_wins) config.added = read_old_added_tokens(folder / "added_tokens.json", config);
  std::ranges::stable_sort(config.added, {}, &AddedToken::id);
  return config;
}

void refuse_unknown(const TokenizerConfig& config, const std::function<bool(const std::string&)>& known) {
  for (const NamedToken& one : config.named)
    if ((one.key == "bos_token" || one.key == "eos_token") && !one.by_class && !known(one.token.content))
      user_error("{}: {} is '{}', which the tokenizer does not have", config.path.string(), one.key,
                 shown(one.token.content));
}

void apply(const TokenizerConfig& config, Tokenizer& tokenizer) {
  tokenizer.chat_template = config.chat_template;
  tokenizer.clean_up_spaces = config.clean_up_spaces;
  if (const auto id = id_of(config, tokenizer, "bos_token")) tokenizer.bos = id;
  if (const auto id = id_of(config, tokenizer, "eos_token")) tokenizer.eos = id;
  const std::optional<bool> adds_bos = tokenizer_class(config.tokenizer_class).adds_bos;
  if (!adds_bos) return;
  tokenizer.prefix.clear();
  tokenizer.suffix.clear();
  const auto add = [&](bool wanted, const char* key, std::string_view name, std::vector<int32_t>& place) {
    if (!wanted) return;
    const auto id = id_of(config, tokenizer, name);
    if (!id) user_error("{}: {} is true, but the token is not named", config.path.string(), key);
    place.push_back(*id);
  };
  add(config.add_bos_token.value_or(*adds_bos), "add_bos_token", "bos_token", tokenizer.prefix);
  add(config.add_eos_token.value_or(false), "add_eos_token", "eos_token", tokenizer.suffix);
}

}  // namespace gaggle
