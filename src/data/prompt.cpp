#include "data/prompt.h"

#include <array>
#include <utility>

#include "base/error.h"
#include "base/names.h"

namespace gaggle {
namespace {

const std::array<std::pair<const char*, PromptForm>, 6> chat_formats = {{{"chatml", PromptForm::chatml},
                                                                         {"llama3", PromptForm::llama3},
                                                                         {"qwen2", PromptForm::qwen2},
                                                                         {"qwen3", PromptForm::qwen3},
                                                                         {"qwen3_nothink", PromptForm::qwen3_nothink},
                                                                         {"mistral", PromptForm::mistral}}};

using Pieces = std::vector<TextPiece>;
using Kind = Prompt::Part::Kind;

void add(Pieces& pieces, std::string_view text, bool markup) {
  if (text.empty()) return;
  if (!pieces.empty() && pieces.back().markup == markup)
    pieces.back().text += text;
  else
    pieces.push_back({std::string(text), markup});
}
void mark(Pieces& pieces, std::string_view text) { add(pieces, text, true); }
void say(Pieces& pieces, std::string_view text) { add(pieces, text, false); }

// <|im_start|>role\ncontent<|im_end|>\n, of ChatML and Qwen
void im_block(Pieces& pieces, const std::string& role, std::string_view content) {
  mark(pieces, "<|im_start|>" + role + "\n");
  say(pieces, content);
  mark(pieces, "<|im_end|>\n");
}

// SmolLM2-Instruct's and Qwen2.5's templates: their own system message where the first message is not one.
Pieces chatml(const std::vector<Message>& messages, const std::string& system) {
  Pieces pieces;
  if (messages[0].role != "system") mark(pieces, "<|im_start|>system\n" + system + "<|im_end|>\n");
  for (const Message& message : messages) im_block(pieces, message.role, message.content);
  mark(pieces, "<|im_start|>assistant\n");
  return pieces;
}

Pieces llama3(const std::vector<Message>& messages, const ChatTokens& tokens) {
  Pieces pieces;
  mark(pieces, tokens.bos);
  for (const Message& message : messages) {
    mark(pieces, "<|start_header_id|>" + message.role + "<|end_header_id|>\n\n");
    say(pieces, trimmed(message.content));
    mark(pieces, "<|eot_id|>");
  }
  mark(pieces, "<|start_header_id|>assistant<|end_header_id|>\n\n");
  return pieces;
}

std::string_view strip_newlines(std::string_view text, bool left, bool right) {
  while (left && text.starts_with('\n')) text.remove_prefix(1);
  while (right && text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

// Qwen3 drops the thoughts of earlier answers and shows those after the last question.
void qwen3_answer(Pieces& pieces, std::string_view content, bool after_last_question, bool last) {
  static constexpr std::string_view open = "<think>", close = "</think>";
  std::string_view thoughts;
  if (const size_t first = content.find(close); first != std::string_view::npos) {
    thoughts = strip_newlines(content.substr(0, first), false, true);
    if (const size_t start = thoughts.rfind(open); start != std::string_view::npos)
      thoughts.remove_prefix(start + open.size());
    thoughts = strip_newlines(thoughts, true, false);
    content = strip_newlines(content.substr(content.rfind(close) + close.size()), true, false);
  }
  mark(pieces, "<|im_start|>assistant\n");
  if (after_last_question && (last || !thoughts.empty())) {
    mark(pieces, "<think>\n");
    say(pieces, strip_newlines(thoughts, true, true));
    mark(pieces, "\n</think>\n\n");
    content = strip_newlines(content, true, false);
  }
  say(pieces, content);
  mark(pieces, "<|im_end|>\n");
}

Pieces qwen3(const std::vector<Message>& messages, bool think) {
  size_t last_question = messages.size() - 1;
  for (size_t i = messages.size(); i-- > 0;) {
    const Message& message = messages[i];
    const bool tool = message.content.starts_with("<tool_response>") && message.content.ends_with("</tool_response>");
    if (message.role != "user" || tool) continue;
    last_question = i;
    break;
  }
  Pieces pieces;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role == "assistant")
      qwen3_answer(pieces, messages[i].content, i > last_question, i + 1 == messages.size());
    else
      im_block(pieces, messages[i].role, messages[i].content);
  }
  mark(pieces, "<|im_start|>assistant\n");
  if (!think) mark(pieces, "<think>\n\n</think>\n\n");
  return pieces;
}

// Mistral-7B-Instruct-v0.2: the system message goes into the first user message.
Pieces mistral(const std::vector<Message>& messages, const ChatTokens& tokens, const std::string& where) {
  Pieces pieces;
  mark(pieces, tokens.bos);
  const size_t first = messages[0].role == "system" ? 1 : 0;
  if (messages.size() <= first)
    user_error("{}: the mistral format shows a system message inside the user's, and there is none after it", where);
  for (size_t i = first; i < messages.size(); ++i) {
    const bool user = (i - first) % 2 == 0;
    if (messages[i].role != (user ? "user" : "assistant"))
      user_error(
          "{}: the mistral format wants an optional system message, then user and assistant in turn; message "
          "{} is the {}'s",
          where, i + 1, messages[i].role);
    mark(pieces, user ? " [INST] " : " ");
    if (i == first && first == 1) {
      say(pieces, messages[0].content);
      mark(pieces, "\n\n");
    }
    say(pieces, messages[i].content);
    mark(pieces, user ? " [/INST]" : tokens.eos);
  }
  if (messages.back().role != "user")
    user_error("{}: the mistral format answers the user, but the message before the output is the assistant's", where);
  return pieces;
}

Pieces filled(const Prompt& prompt, const std::vector<Message>& messages, const std::string& definition,
              const std::string& where) {
  Pieces pieces;
  for (const Prompt::Part& part : prompt.parts) {
    if (part.kind == Kind::literal) {
      mark(pieces, part.text);
    } else if (part.kind == Kind::definition) {
      if (definition.empty())
        user_error("{}: the prompt has {{definition}}, but the task has none; give it in the task's .toml", where);
      say(pieces, definition);
    } else {
      for (size_t i = 0; i < messages.size(); ++i) say(pieces, (i > 0 ? "\n" : "") + messages[i].content);
    }
  }
  return pieces;
}

Kind placeholder(std::string_view name, const std::string& where) {
  if (name == "input") return Kind::input;
  if (name == "definition") return Kind::definition;
  const std::string near = nearest_name(name, {"input", "definition"});
  user_error("{}: unknown placeholder {{{}}} ({}; a brace itself is written twice)", where, name,
             near.empty() ? "known: {input}, {definition}" : "did you mean {" + near + "}?");
}

}  // namespace

std::vector<std::string> chat_format_names() {
  std::vector<std::string> names;
  for (const auto& [name, form] : chat_formats) names.emplace_back(name);
  return names;
}

std::vector<const char*> chat_markers(PromptForm form) {
  switch (form) {
    case PromptForm::chatml:
    case PromptForm::qwen2:
    case PromptForm::qwen3:
    case PromptForm::qwen3_nothink:
      return {"<|im_start|>", "<|im_end|>"};
    case PromptForm::llama3:
      return {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"};
    case PromptForm::mistral:  // [INST] is plain text to it; BOS and EOS are asked for where they are written
    case PromptForm::from_template:
      break;
  }
  return {};
}

const char* chat_end(PromptForm form) {
  const auto markers = chat_markers(form);
  return markers.empty() ? "" : markers.back();
}

Prompt parse_prompt(const std::string& text, const std::string& where) {
  for (const auto& [name, form] : chat_formats)
    if (text == name) return {form, {}, text};
  Prompt prompt;
  prompt.text = text;
  bool has_input = false;
  const auto literal = [&](char c) {
    if (prompt.parts.empty() || prompt.parts.back().kind != Kind::literal) prompt.parts.push_back({});
    prompt.parts.back().text += c;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '{' && text[i] != '}') {
      literal(text[i]);
    } else if (i + 1 < text.size() && text[i + 1] == text[i]) {
      literal(text[i++]);
    } else {
      const size_t end = text.find('}', i);
      if (text[i] == '}' || end == std::string::npos)
        user_error("{}: a single {} at character {} (a brace itself is written twice)", where, text[i], i + 1);
      prompt.parts.push_back({placeholder(text.substr(i + 1, end - i - 1), where), ""});
      has_input |= prompt.parts.back().kind == Kind::input;
      i = end;
    }
  }
  if (!has_input) {
    std::vector<std::string> names = chat_format_names();
    names.emplace_back("auto");
    const std::string near = nearest_name(text, names);
    user_error("{}: \"{}\" is neither a template with {{input}} nor a chat format ({})", where, text,
               near.empty() ? join(names, ", ") : "did you mean " + near + "?");
  }
  return prompt;
}

std::vector<Message> conversation_with(std::span<const Example* const> shots, const std::vector<Message>& question) {
  const auto begins_with_system = [](const std::vector<Message>& messages) { return messages[0].role == "system"; };
  std::vector<Message> messages;
  const auto append = [&](const std::vector<Message>& said, ptrdiff_t from) {
    messages.insert(messages.end(), said.begin() + from, said.end());
  };
  if (begins_with_system(question)) messages.push_back(question[0]);
  for (const Example* shot : shots) {
    append(shot->messages, begins_with_system(shot->messages) ? 1 : 0);
    messages.push_back({"assistant", shot->output});
  }
  append(question, begins_with_system(question) ? 1 : 0);
  return messages;
}

std::vector<TextPiece> render_prompt(const Prompt& prompt, const std::vector<Message>& question,
                                     const std::string& definition, const ChatTokens& tokens, const std::string& where,
                                     std::span<const Example* const> shots) {
  GAGGLE_CHECK(!question.empty());
  if (prompt.form == PromptForm::from_template) {
    Pieces pieces;
    for (const Example* shot : shots) {
      for (const TextPiece& piece : filled(prompt, shot->messages, definition, where))
        add(pieces, piece.text, piece.markup);
      say(pieces, shot->output);
      mark(pieces, "\n\n");
    }
    for (const TextPiece& piece : filled(prompt, question, definition, where)) add(pieces, piece.text, piece.markup);
    return pieces;
  }
  const std::vector<Message> messages = conversation_with(shots, question);
  switch (prompt.form) {
    case PromptForm::chatml:
      return chatml(messages, "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
    case PromptForm::qwen2:
      return chatml(messages, "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
    case PromptForm::llama3:
      return llama3(messages, tokens);
    case PromptForm::qwen3:
    case PromptForm::qwen3_nothink:
      return qwen3(messages, prompt.form == PromptForm::qwen3);
    case PromptForm::mistral:
      return mistral(messages, tokens, where);
    case PromptForm::from_template:
      break;
  }
  return {};
}

std::string_view trimmed(std::string_view text) {
  static constexpr std::string_view spaces[] = {
      " ",      "\t",     "\n",     "\v",     "\f",     "\r",     "\x1c",   "\x1d",   "\x1e",   "\x1f",
      "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006",
      "\u2007", "\u2008", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view space : spaces) {
      if (text.starts_with(space)) {
        text.remove_prefix(space.size());
        again = true;
      } else if (text.ends_with(space)) {
        text.remove_suffix(space.size());
        again = true;
      }
    }
  }
  return text;
}

}  // namespace gaggle
