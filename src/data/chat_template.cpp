#include "data/chat_template.h"

#include <algorithm>

#include "base/error.h"
#include "base/names.h"

namespace gaggle {
namespace {

struct KnownTemplate {
  const char* format;  // "": there is none for it here
  const char* words;
  std::vector<const char*> has, lacks;  // with ' for ", and \n as a line break
};

// The first that fits. A template that writes more than its format (tools are no matter, examples have none) must not
// be taken for it: what other members of the family add is looked for too.
const std::vector<KnownTemplate>& known_templates() {
  static const std::vector<KnownTemplate> known = {
      {"qwen3", "Qwen3's", {"<|im_start|>", "enable_thinking is false", "reasoning_content", "multi_step_tool"}, {}},
      {"qwen2",
       "Qwen2.5's",
       {"<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n",
        "<|im_start|>assistant\n"},
       {"<think>", "strftime"}},
      {"chatml",
       "SmolLM2's",
       {"<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n",
        "<|im_start|>assistant\n"},
       {"<think>", "strftime"}},
      {"", "Llama 3.1's or a later one's, which writes the date", {"Cutting Knowledge Date"}, {}},
      {"llama3",
       "Llama 3's",
       {"<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", "bos_token", "| trim"},
       {"strftime", "<|im_start|>", "<think>", "tools"}},
      {"mistral",
       "Mistral-7B-Instruct-v0.2's",
       {"bos_token", "loop.first and system_message",
        "' [INST] ' + system_message + '\n\n' + message['content'] + ' [/INST]'",
        "' [INST] ' + message['content'] + ' [/INST]'", "' ' + message['content'] + eos_token"},
       {"[AVAILABLE_TOOLS]"}},
      {"", "Llama 2's", {"<<SYS>>"}, {}},
      {"", "another Mistral's than v0.2's of today", {"[INST]"}, {}},
      {"", "DeepSeek's", {"<\uff5cAssistant\uff5c>"}, {}},
      {"", "Gemma's", {"<start_of_turn>"}, {}},
      {"", "one with ChatML's markers and another system message, or none", {"<|im_start|>"}, {}},
  };
  return known;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

const KnownTemplate& recognised(std::string text) {
  static const KnownTemplate unknown{"", "none that is known here", {}, {}};
  replace_all(text, "\\n", "\n");
  replace_all(text, "\"", "'");
  const auto holds = [&](const char* piece) { return text.find(piece) != std::string::npos; };
  for (const KnownTemplate& known : known_templates())
    if (std::ranges::all_of(known.has, holds) && std::ranges::none_of(known.lacks, holds)) return known;
  return unknown;
}

// The name of the format that "auto" stands for.
std::string own_format(const Tokenizer& tokenizer, const std::string& where) {
  if (tokenizer.chat_template.empty())
    user_error(
        "{}: \"auto\" takes the model's own chat template, and the model has none (looked for: chat_template.jinja, "
        "chat_template in tokenizer_config.json, tokenizer.chat_template in a GGUF file); name a format ({}) or give a "
        "template with {{input}}",
        where, join(chat_format_names(), ", "));
  const KnownTemplate& own = recognised(tokenizer.chat_template);
  if (*own.format == '\0')
    user_error(
        "{}: \"auto\" takes the model's own chat template, which is {}; name the format that is to be used ({}) or "
        "give a template with {{input}}",
        where, own.words, join(chat_format_names(), ", "));
  return own.format;
}

// A marker that is no token falls into letters, which the model was never taught to read as a marker.
void require_markers(const Prompt& prompt, const Tokenizer& tokenizer, const std::string& where) {
  for (const char* marker : chat_markers(prompt.form)) {
    const auto id = tokenizer.id_of(marker);
    if (!id || std::ranges::count(tokenizer.encode_markup(marker), *id) == 0)
      user_error(
          "{}: the {} format writes {}, which is no token of this model's tokenizer; take the format the model was "
          "trained with, or a template with {{input}}",
          where, prompt.text, marker);
  }
}

}  // namespace

Prompt prompt_for(const std::string& text, const Tokenizer& tokenizer, const std::string& where) {
  Prompt prompt = parse_prompt(text == "auto" ? own_format(tokenizer, where) : text, where);
  require_markers(prompt, tokenizer, where);
  return prompt;
}

std::string foreign_format_text(const Prompt& prompt, const Tokenizer& tokenizer, const std::string& where) {
  if (prompt.form == PromptForm::from_template || tokenizer.chat_template.empty()) return "";
  const KnownTemplate& own = recognised(tokenizer.chat_template);
  if (prompt.text == own.format || (prompt.form == PromptForm::qwen3_nothink && own.format == std::string("qwen3")))
    return "";
  const std::string advice = *own.format ? fmt::format(" ({} = \"auto\" or \"{}\")", where, own.format) : "";
  return fmt::format("{} = \"{}\" is not the model's own chat_template, which is {}{}", where, prompt.text, own.words,
                     advice);
}

}  // namespace gaggle
