#include "data/tokens.h"

#include <algorithm>
#include <charconv>
#include <ranges>

#include "base/error.h"
#include "base/log.h"
#include "base/names.h"
#include "base/sha256.h"
#include "base/terminal.h"
#include "data/cache.h"
#include "data/chat_template.h"

namespace gaggle {
namespace {

constexpr std::string_view cache_version = "gaggle tokens 3";

// Feeds texts and ids so that no two sequences of them are fed alike.
struct Digest {
  Sha256 sha;
  void text(std::string_view value) { sha.update(fmt::format("{}:", value.size())).update(value); }
  void number(int64_t value) { sha.update(fmt::format("{};", value)); }
  template <class Values>
  void count(const Values& values) {
    number(static_cast<int64_t>(values.size()));
  }
  void ids(const std::vector<int32_t>& values) {
    count(values);
    sha.update(std::as_bytes(std::span(values)));
  }
  void examples(const std::vector<Example>& values) {
    count(values);
    for (const Example& example : values) {
      text(example.id);
      count(example.messages);
      for (const Message& message : example.messages) {
        text(message.role);
        text(message.content);
      }
      text(example.output);
      count(example.choices);
      for (const std::string& choice : example.choices) text(choice);
      count(example.shots);
      for (const size_t shot : example.shots) number(static_cast<int64_t>(shot));
    }
  }
};

std::string cache_key(const Task& task, const Tokenizer& tokenizer, const TokenizeOptions& options,
                      const std::string& prompt, int32_t end_id) {
  Digest digest;
  for (const std::string_view text :
       {cache_version, std::string_view(tokenizer.digest), std::string_view(prompt), std::string_view(options.truncate),
        std::string_view(task.name), std::string_view(task.metric), std::string_view(task.definition)})
    digest.text(text);
  digest.number(options.max_input_tokens);
  digest.number(options.max_target_tokens);
  digest.number(end_id);
  digest.number(options.decoder_start);
  for (const auto& split : task.splits) digest.examples(split);
  digest.examples(task.shot_pool);
  return digest.sha.hex();
}

// What an expert learns from: the task's name (it keys the order of examples) and every id of every example.
std::string content_digest(const TokenTask& task) {
  Digest digest;
  digest.text(task.name);
  for (const auto& split : task.splits) {
    digest.count(split);
    for (const TokenExample& example : split) {
      if (!example.source.empty()) {  // examples of a decoder alone are digested as ever
        digest.text("source");
        digest.ids(example.source);
      }
      digest.ids(example.input);
      digest.ids(example.target);
      digest.count(example.choices);
      for (const auto& choice : example.choices) digest.ids(choice);
      digest.number(example.answer);
    }
  }
  return digest.sha.hex();
}

// An encoder's tokens: the prompt, cut so that the tokenizer's suffix (T5's end token) always stays.
std::vector<int32_t> source_ids(PromptIds prompt, const Tokenizer& tokenizer, const TokenizeOptions& options,
                                bool& cut) {
  const auto suffix = static_cast<int64_t>(tokenizer.suffix.size());
  const int64_t limit = options.max_input_tokens;
  if (limit > 0 && limit <= suffix)
    user_error("data.max_input_tokens = {} leaves no room beside the {} token(s) the tokenizer puts behind", limit,
               suffix);
  cut |= cut_prompt(prompt, limit > 0 ? limit - suffix : 0, options.truncate);
  prompt.ids.insert(prompt.ids.end(), tokenizer.suffix.begin(), tokenizer.suffix.end());
  return std::move(prompt.ids);
}

// Shortens targets to the limit, the end token kept.
std::vector<int32_t> target_ids(const std::string& text, const Tokenizer& tokenizer, int64_t limit, int32_t end,
                                bool& cut) {
  std::vector<int32_t> ids = tokenizer.encode_plain(text);
  if (limit > 0 && static_cast<int64_t>(ids.size()) >= limit) {
    ids.resize(static_cast<size_t>(limit - 1));
    cut = true;
  }
  ids.push_back(end);
  return ids;
}

}  // namespace

int32_t end_token(const Tokenizer& tokenizer, const std::string& end) {
  if (end.empty()) {
    if (!tokenizer.eos)
      user_error("data.end: the tokenizer names no end-of-sequence token; give one by its text or as \"id:N\"");
    return *tokenizer.eos;
  }
  if (end.starts_with("id:")) {
    int32_t id = -1;
    const auto [stop, error] = std::from_chars(end.data() + 3, end.data() + end.size(), id);
    if (error != std::errc() || stop != end.data() + end.size() || id < 0 || id >= tokenizer.size())
      user_error("data.end: \"{}\" is not id:N with N from 0 to {}", end, tokenizer.size() - 1);
    return id;
  }
  const auto id = tokenizer.id_of(end);
  if (!id) user_error("data.end: the tokenizer has no token \"{}\"; give the text of one token, or \"id:N\"", end);
  return *id;
}

PromptIds prompt_ids(const Prompt& prompt, const std::vector<Message>& messages, const std::string& definition,
                     const Tokenizer& tokenizer, const std::string& where, std::span<const Example* const> shots) {
  ChatTokens tokens;
  if (prompt.writes_bos()) {
    if (!tokenizer.bos || !tokenizer.eos)
      user_error("{}: this chat format begins with the BOS token, and the tokenizer names no BOS and EOS", where);
    tokens = {tokenizer.token_of(*tokenizer.bos), tokenizer.token_of(*tokenizer.eos)};
  }
  const auto pieces = render_prompt(prompt, messages, definition, tokens, where, shots);
  PromptIds result{tokenizer.encode(pieces), 0};
  const auto& prefix = tokenizer.prefix;
  const auto begins_with = [&](const std::vector<int32_t>& ids) {
    return result.ids.size() >= ids.size() && std::equal(ids.begin(), ids.end(), result.ids.begin());
  };
  if (prompt.form == PromptForm::from_template) {
    // A template that writes BOS itself is not given a second one.
    if (!begins_with(prefix)) result.ids.insert(result.ids.begin(), prefix.begin(), prefix.end());
    result.kept = static_cast<int64_t>(prefix.size());
  } else if (!tokens.bos.empty() && begins_with({*tokenizer.bos})) {
    result.kept = 1;
  }
  return result;
}

bool cut_prompt(PromptIds& prompt, int64_t limit, const std::string& truncate) {
  const auto size = static_cast<int64_t>(prompt.ids.size());
  if (limit <= 0 || size <= limit) return false;
  if (limit <= prompt.kept)
    user_error("data.max_input_tokens = {} leaves no room beside the {} token(s) the tokenizer puts in front", limit,
               prompt.kept);
  const auto begin = prompt.ids.begin() + prompt.kept;
  if (truncate == "left")
    prompt.ids.erase(begin, begin + (size - limit));
  else
    prompt.ids.resize(static_cast<size_t>(limit));
  return true;
}

namespace {

struct Tokenizing {
  const Task& task;
  const Prompt& prompt;
  const Tokenizer& tokenizer;
  const TokenizeOptions& options;
  int32_t end;
};

// The prompt behind as many of the last shots as the limit leaves room for; the others are counted. That more shots are
// more tokens is taken for granted.
PromptIds prompt_with_shots(const Tokenizing& how, const Example& example, const std::string& where,
                            int64_t& left_out) {
  std::vector<const Example*> shots;
  for (const size_t shot : example.shots) shots.push_back(&how.task.shot_pool[shot]);
  const auto behind = [&](size_t count) {
    return prompt_ids(how.prompt, example.messages, how.task.definition, how.tokenizer, where,
                      std::span(shots).last(count));
  };
  const int64_t limit = how.options.max_input_tokens;
  const size_t suffix = how.options.decoder_start >= 0 ? how.tokenizer.suffix.size() : 0;
  const auto fits = [&](size_t count) {
    return limit == 0 || static_cast<int64_t>(behind(count).ids.size() + suffix) <= limit;
  };
  size_t kept = shots.size();
  if (kept > 0 && !fits(kept)) kept = *std::ranges::partition_point(std::views::iota(size_t{1}, kept + 1), fits) - 1;
  left_out += static_cast<int64_t>(shots.size() - kept);
  return behind(kept);
}

int64_t characters_of(const std::string& text) {
  return std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

TokenExample tokenize_example(const Tokenizing& how, const Example& example, int64_t& shots_left_out) {
  const auto& [task, prompt, tokenizer, options, end] = how;
  const std::string where = fmt::format("task {}, example {}", task.name, example.id);
  TokenExample ids;
  ids.id = example.id;
  PromptIds shown = prompt_with_shots(how, example, where, shots_left_out);
  if (shown.ids.empty())
    user_error("{}: the prompt has no token, so nothing predicts the output's first; give data.prompt some text",
               where);
  if (options.decoder_start >= 0) {
    ids.source = source_ids(std::move(shown), tokenizer, options, ids.cut);
    ids.input = {options.decoder_start};
  } else {
    ids.cut |= cut_prompt(shown, options.max_input_tokens, options.truncate);
    ids.input = std::move(shown.ids);
  }
  ids.target = target_ids(example.output, tokenizer, options.max_target_tokens, end, ids.cut);
  for (const std::string& choice : example.choices) {
    if (choice == example.output) ids.answer = static_cast<int32_t>(ids.choices.size());
    auto tokens = target_ids(choice, tokenizer, options.max_target_tokens, end, ids.cut);
    if (std::ranges::find(ids.choices, tokens) != ids.choices.end())
      user_error("{}: the choice {} has the same tokens as another one; raise data.max_target_tokens", where,
                 in_quotes(choice));
    ids.choices.push_back(std::move(tokens));
    ids.choice_characters.push_back(characters_of(choice));
  }
  return ids;
}

// A token that was added to the tokenizer and not to the model has no embedding.
void check_vocabulary(const TokenTask& task, const Tokenizer& tokenizer, int64_t vocab) {
  if (vocab == 0) return;
  const auto check = [&](const TokenExample& example, const std::vector<int32_t>& ids) {
    const auto beyond = std::ranges::find_if(ids, [&](int32_t id) { return id >= vocab; });
    if (beyond != ids.end())
      user_error(
          "task {}, example {}: token {} (\"{}\") is beyond the model's vocabulary of {}: it was added to the "
          "tokenizer, but the model's embeddings were not resized; take the model's own tokenizer, or resize them",
          task.name, example.id, *beyond, tokenizer.token_of(*beyond), vocab);
  };
  for (const auto& split : task.splits)
    for (const TokenExample& example : split) {
      for (const auto* ids : {&example.source, &example.input, &example.target}) check(example, *ids);
      for (const auto& choice : example.choices) check(example, choice);
    }
}

TokenTask tokenized_by(const Tokenizing& how) {
  TokenTask result;
  result.name = how.task.name;
  result.metric = how.task.metric;
  result.end_id = how.end;
  for (size_t s = 0; s < how.task.splits.size(); ++s)
    for (const Example& example : how.task.splits[s]) {
      if (how.options.heed) how.options.heed();
      result.splits[s].push_back(tokenize_example(how, example, result.shots_left_out));
      result.examples_cut += result.splits[s].back().cut;
    }
  return result;
}

}  // namespace

TokenTask tokenize_task(const Task& task, const Tokenizer& tokenizer, const TokenizeOptions& options) {
  const std::string where = task.prompt.empty() ? "data.prompt" : fmt::format("prompt of task {}", task.name);
  const Prompt prompt = prompt_for(task.prompt.empty() ? options.prompt : task.prompt, tokenizer, where);
  if (options.truncate != "left" && options.truncate != "right")
    user_error("data.truncate = \"{}\": expected left or right", options.truncate);
  const int32_t end = end_token(tokenizer, options.end);
  const std::string key = cache_key(task, tokenizer, options, prompt.text, end);
  std::optional<TokenTask> cached;
  if (!options.cache.empty()) cached = read_cached(options.cache, key);
  TokenTask result = cached ? std::move(*cached) : tokenized_by({task, prompt, tokenizer, options, end});
  check_vocabulary(result, tokenizer, options.vocab);
  if (!cached) result.digest = content_digest(result);
  if (!cached && !options.cache.empty()) write_cached(options.cache, key, result);
  result.group = task.group;
  result.category = task.category;
  result.foreign_format = foreign_format_text(prompt, tokenizer, where);
  return result;
}

}  // namespace gaggle
