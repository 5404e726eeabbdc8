// From an example to the text the model reads: a template, or the chat format of a model family.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/task.h"
#include "text/tokenizer.h"

namespace gaggle {

enum class PromptForm { from_template, chatml, llama3, qwen2, qwen3, qwen3_nothink, mistral };

struct Prompt {
  // A stretch of a template: literal text, or what stands in the example's or task's place.
  struct Part {
    enum class Kind { literal, input, definition } kind = Kind::literal;
    std::string text;
  };
  PromptForm form = PromptForm::from_template;
  std::vector<Part> parts;  // of a template
  std::string text;         // what was parsed: the format's name, or the template
  bool writes_bos() const { return form == PromptForm::llama3 || form == PromptForm::mistral; }
};

std::vector<std::string> chat_format_names();
// What a format writes that must be a token of its own.
std::vector<const char*> chat_markers(PromptForm form);
// The marker that ends an answer in the format; "": its EOS token does, or it is a template.
const char* chat_end(PromptForm form);

// Texts of the tokens that chat formats call bos_token and eos_token.
struct ChatTokens {
  std::string bos, eos;
};

// The name of a chat format, or a template: {input}, {definition}, and {{ }} for braces. `where` names the
// option or file in errors. Throws UserError: unknown placeholder or format, a template without {input}.
Prompt parse_prompt(const std::string& text, const std::string& where);

// What the model is shown before it answers; literals of the prompt are markup, what examples say is plain
// text. `shots` are solved examples before the question: of a template it filled with each, the output behind it
// and an empty line; of a chat format earlier turns of the conversation (conversation_with). Chat formats give what transformers' apply_chat_template(add_generation_prompt=True) gives for the
// family's published template (docs/tasks.md says which). Throws UserError naming `where` for messages that the
// format cannot show, and for {definition} where there is none.
std::vector<TextPiece> render_prompt(const Prompt& prompt, const std::vector<Message>& messages,
                                     const std::string& definition, const ChatTokens& tokens, const std::string& where,
                                     std::span<const Example* const> shots = {});

// The question's system message, if it begins with one; then of each shot its messages, without a system message at the
// front, and its output as the assistant's; then the rest of the question.
std::vector<Message> conversation_with(std::span<const Example* const> shots, const std::vector<Message>& question);

// Without white space at both ends, as Python's str.strip (Llama 3's template trims every message).
std::string_view trimmed(std::string_view text);

}  // namespace gaggle
