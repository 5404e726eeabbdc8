#include "text/json_components.h"

#include <functional>
#include <map>

#include "base/terminal.h"
#include "text/unicode.h"

namespace gaggle {
namespace {

// Calls `take` for `node`, or for each member of a Sequence under `list`.
void each_member(const Json& node, const char* list, const std::function<void(const Json&)>& take) {
  if (node.is_null()) return;
  if (node.at("type") != "Sequence") return take(node);
  for (const Json& member : node.at(list)) each_member(member, list, take);
}

[[noreturn]] void unsupported(const char* component, const std::string& what) {
  user_error("{} '{}' is not supported", component, shown(what));
}

// What Metaspace puts in place of a blank: one character, as in the tokenizers library.
std::string read_replacement(const Json& node) {
  const std::string replacement = required_text(node, "replacement");
  size_t end = 0;
  if (!replacement.empty()) next_char(replacement, end);
  if (end == 0 || end != replacement.size())
    user_error("Metaspace's replacement is {}; expected one character", in_quotes(replacement));
  return replacement;
}

// "pattern" of a step: {"String": …} or {"Regex": …}
Pattern read_pattern(const char* component, const Json& step) {
  const Json& node = step.at("pattern");
  if (node.contains("String")) return Pattern::literal(required_text(node, "String"));
  const std::string regex = required_text(node, "Regex");
  return with_place(component, [&] { return Pattern(regex); });
}

SplitBehavior read_behavior(const std::string& name) {
  static const std::map<std::string, SplitBehavior> kBehaviors = {
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous}};
  const auto found = kBehaviors.find(name);
  if (found == kBehaviors.end()) unsupported("pre_tokenizer Split behavior", name);
  return found->second;
}

// Newer files say prepend_scheme, older ones add_prefix_space.
MetaspaceStep::Prepend read_prepend(const Json& node) {
  using Prepend = MetaspaceStep::Prepend;
  const auto scheme = value_or<std::string>(node, "prepend_scheme", "");
  if (scheme.empty()) return value_or(node, "add_prefix_space", true) ? Prepend::always : Prepend::never;
  if (scheme == "always") return Prepend::always;
  if (scheme == "first") return Prepend::first;
  if (scheme == "never") return Prepend::never;
  unsupported("Metaspace prepend_scheme", scheme);
}

void add_pre_tokenizer(const Json& node, TokenizerParts& parts) {
  std::vector<PreTokenizerStep>& steps = parts.pre_tokenizer;
  const std::string type = required_text(node, "type");
  if (parts.byte_level) unsupported("pre_tokenizer", type + " after ByteLevel");
  if (type == "ByteLevel") {
    if (value_or(node, "add_prefix_space", true)) steps.emplace_back(PrefixSpaceStep{});
    if (value_or(node, "use_regex", true)) steps.emplace_back(SplitStep{Pattern(kGpt2Pattern)});
    parts.byte_level = true;
  } else if (type == "Split") {
    steps.emplace_back(SplitStep{read_pattern("pre_tokenizer Split", node),
                                 read_behavior(required_text(node, "behavior")), value_or(node, "invert", false)});
  } else if (type == "Digits") {
    const bool individual = value_or(node, "individual_digits", false);
    steps.emplace_back(SplitStep{Pattern(individual ? R"(\p{N})" : R"(\p{N}+)")});
  } else if (type == "WhitespaceSplit") {
    steps.emplace_back(SplitStep{Pattern(R"(\s+)"), SplitBehavior::removed});
  } else if (type == "Metaspace") {
    const auto prepend = read_prepend(node);
    // "first" asks where a word stands in the text as written, which a step before this one may have moved.
    if (prepend == MetaspaceStep::Prepend::first && !steps.empty())
      unsupported("pre_tokenizer", "Metaspace with prepend_scheme first after another step");
    steps.emplace_back(MetaspaceStep{read_replacement(node), prepend, value_or(node, "split", true)});
  } else {
    unsupported("pre_tokenizer", type);
  }
}

}  // namespace

std::vector<NormalizerStep> read_normalizer(const Json& node) {
  static const std::map<std::string, NormalForm> kForms = {
      {"NFC", NormalForm::nfc}, {"NFD", NormalForm::nfd}, {"NFKC", NormalForm::nfkc}, {"NFKD", NormalForm::nfkd}};
  std::vector<NormalizerStep> steps;
  each_member(node, "normalizers", [&](const Json& member) {
    const std::string type = required_text(member, "type");
    if (const auto form = kForms.find(type); form != kForms.end())
      steps.emplace_back(form->second);
    else if (type == "Prepend")
      steps.emplace_back(PrependText{required_text(member, "prepend")});
    else if (type == "Replace")
      steps.emplace_back(ReplaceText{read_pattern("normalizer Replace", member), required_text(member, "content")});
    else if (type == "Strip")
      steps.emplace_back(StripSpace{member.at("strip_left").get<bool>(), member.at("strip_right").get<bool>()});
    else if (type == "Nmt")
      steps.emplace_back(NmtRule{});
    else if (type == "Precompiled")
      steps.emplace_back(with_place("normalizer Precompiled", [base64 = required_text(member, "precompiled_charsmap")] {
        return Charsmap(base64);
      }));
    else
      unsupported("normalizer", type);
  });
  return steps;
}

void read_pre_tokenizer(const Json& node, TokenizerParts& parts) {
  each_member(node, "pretokenizers", [&](const Json& member) { add_pre_tokenizer(member, parts); });
}

std::vector<DecoderStep> read_decoder(const Json& node) {
  std::vector<DecoderStep> steps;
  each_member(node, "decoders", [&](const Json& member) {
    const std::string type = required_text(member, "type");
    if (type == "ByteLevel") {
      steps.emplace_back(ByteLevelDecoder{});
    } else if (type == "ByteFallback") {
      steps.emplace_back(ByteFallbackDecoder{});
    } else if (type == "Fuse") {
      steps.emplace_back(FuseDecoder{});
    } else if (type == "Metaspace") {
      const bool drop_first = read_prepend(member) != MetaspaceStep::Prepend::never;
      steps.emplace_back(MetaspaceDecoder{read_replacement(member), drop_first});
    } else if (type == "Replace") {
      steps.emplace_back(ReplaceDecoder{read_pattern("decoder Replace", member), required_text(member, "content")});
    } else if (type == "Strip") {
      size_t at = 0;
      const std::string content = required_text(member, "content");
      if (content.empty()) unsupported("decoder", "Strip without content");
      steps.emplace_back(StripDecoder{next_char(content, at), whole_number_of<size_t>(member.at("start")),
                                      whole_number_of<size_t>(member.at("stop"))});
    } else {
      unsupported("decoder", type);
    }
  });
  return steps;
}

Surroundings read_post_processor(const Json& node) {
  Surroundings around;
  each_member(node, "processors", [&](const Json& member) {
    const std::string type = required_text(member, "type");
    if (type == "ByteLevel") return;  // moves offsets only
    if (type != "TemplateProcessing") unsupported("post_processor", type);
    bool after_text = false;
    std::vector<int32_t> before, after;
    for (const Json& item : member.at("single")) {
      if (item.contains("Sequence")) {
        after_text = true;
        continue;
      }
      const std::string name = required_text(item.at("SpecialToken"), "id");
      for (const Json& id : member.at("special_tokens").at(name).at("ids"))
        (after_text ? after : before).push_back(whole_number_of<int32_t>(id));
    }
    around.prefix.insert(around.prefix.begin(), before.begin(), before.end());
    around.suffix.insert(around.suffix.end(), after.begin(), after.end());
  });
  return around;
}

}  // namespace gaggle
