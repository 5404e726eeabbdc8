#include "data/page.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "base/table.h"
#include "base/terminal.h"

namespace gaggle {
namespace {

// Tokens one by one, so that a reader sees where they part.
std::string tokens_text(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += fmt::format("{}{}", text.empty() ? "" : "|", shown(tokenizer.token_of(id)));
  return text;
}

}  // namespace

const std::vector<int32_t>& shown_input(const TokenExample& example) {
  return example.source.empty() ? example.input : example.source;
}

std::string examples_page(const TokenTask& task, Split split, size_t shown, const Tokenizer& tokenizer) {
  const std::vector<TokenExample>& examples = task.examples(split);
  std::string page;
  const auto print = [&]<class... Args>(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(page), format, std::forward<Args>(args)...);
  };
  size_t cut = 0, longest = 0, tokens = 0;
  for (const auto& example : examples) {
    const size_t length = shown_input(example).size() + example.target.size();
    cut += example.cut;
    tokens += length;
    longest = std::max(longest, length);
  }
  print("{} · {} · {} · {}, longest {} · {} cut · end token {} ({})\n", task.name,
        split_names[static_cast<size_t>(split)], plural(examples.size(), "example"), plural(tokens, "token"), longest,
        cut, task.end_id, tokenizer.token_of(task.end_id));
  for (size_t i = 0; i < shown; ++i) {
    const TokenExample& example = examples[i];
    print("\n{} · {} + {}{}\n", gaggle::shown(example.id), shown_input(example).size(),
          plural(example.target.size(), "token"), example.cut ? " · cut" : "");
    print("  input   {}\n", tokens_text(tokenizer, shown_input(example)));
    print("          {}\n", fmt::join(shown_input(example), " "));
    print("  target  {}\n", tokens_text(tokenizer, example.target));
    print("          {}\n", fmt::join(example.target, " "));
    if (example.choices.empty()) continue;
    print("  choices {}, the {}. is right\n", example.choices.size(), example.answer + 1);
    for (const auto& choice : example.choices) print("          {}\n", tokens_text(tokenizer, choice));
  }
  if (shown < examples.size()) print("\n… {} more\n", plural(examples.size() - shown, "example"));
  return page;
}

}  // namespace gaggle
