// What may stand where.
#include "app/completion.h"

#include "config/method_text.h"
#include "config/schema.h"

namespace gaggle {
namespace {

CompletionWords plain(const std::vector<std::string>& words) {
  CompletionWords all;
  for (const std::string& word : words) all.push_back({word, ""});
  return all;
}

// By how a value is written in the help: "FOLDER|CONFIG".
CompletionWords by_placeholder(const std::string& text) {
  constexpr std::pair<const char*, const char*> kinds[] = {
      {"CONFIG", "@configs"}, {"RUN", "@folders"},    {"REGISTRY", "@folders"}, {"FOLDER", "@folders"},
      {"FROM", "@folders"},   {"PATH", "@files"},     {"FILE", "@files"},       {"MODEL", "@files"},
      {"NAME", "@names"},     {"EXPERT", "@experts"}, {"METHOD", "@methods"},   {"COLLECTION", "@collections"}};
  CompletionWords all;
  for (const auto& [placeholder, kind] : kinds)
    if (text.find(placeholder) != std::string::npos && (all.empty() || all.back().word != kind))
      all.push_back({kind, ""});
  return all;
}

CompletionWords with_methods(CompletionWords words) {
  CompletionWords all;
  for (const CompletionWord& word : words) {
    if (word.word != "@methods") {
      all.push_back(word);
      continue;
    }
    for (const std::string& method : method_names()) all.push_back({method, ""});
  }
  return all;
}

CompletionWords values_of(const Key& key) {
  Config defaults;
  if (!key.check.choices.empty()) return plain(key.check.choices);
  if (std::holds_alternative<bool*>(key.field(defaults))) return plain({"true", "false"});
  if (!key.check.names.empty()) return {{"@" + std::string(key.check.names), ""}};
  if (key.check.path != PathKind::none) return {{"@files", ""}};
  if (key.full() == "eval.methods") return plain(method_names());
  return {{"@none", ""}};
}

}  // namespace

CompletionWords completions_of_argument(const CommandSyntax& command) {
  CompletionWords all;
  for (const OptionSyntax& argument : command.arguments)
    for (const CompletionWord& word :
         argument.choices.empty() ? by_placeholder(argument.name) : plain(argument.choices))
      all.push_back(word);
  return all;
}

CompletionWords completions_of_value(const OptionSyntax& option) {
  if (option.value.empty()) return {};
  if (!option.choices.empty()) return plain(option.choices);
  const CompletionWords words = with_methods(by_placeholder(option.value));
  return words.empty() ? CompletionWords{{"@none", ""}} : words;
}

std::vector<KeyCompletion> completions_of_keys() {
  std::vector<KeyCompletion> all;
  for (const Key& key : config_keys()) all.push_back({"--" + key.full(), described(key), values_of(key)});
  return all;
}

}  // namespace gaggle
