// The model's own chat template (Jinja, beside its tokenizer): which chat format it is, known by what only it writes.
#pragma once

#include <string>

#include "data/prompt.h"
#include "text/tokenizer.h"

namespace gaggle {

// data.prompt or a task's, for this tokenizer: "auto" becomes the format that the model's own template writes. Throws
// UserError naming `where`, as parse_prompt does, and for "auto" without a template or with one that is not known, and
// for a format whose markers are no tokens of the tokenizer.
Prompt prompt_for(const std::string& text, const Tokenizer& tokenizer, const std::string& where);

// A sentence for the user where `prompt` is a chat format and the model's own template another one; "" else.
std::string foreign_format_text(const Prompt& prompt, const Tokenizer& tokenizer, const std::string& where);

}  // namespace gaggle
