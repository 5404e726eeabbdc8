#include "text/json_components.h"

#include <functional>
#include <map>

namespace gaggle {
namespace {

using std::filesystem::path;

// Calls `take` for `node`, or for each member of a Sequence under `list`.
void each_member(const Json& node, const char* list, const std::function<void(const Json&)>& take) {
  if (node.is_null()) return;
  if (node.at("type") != "Sequence") return take(node);
  for (const Json& member : node.at(list)) each_member(member, list, take);
}

[[noreturn]] void unsupported(const path& file, const char* component, const std::string& what) {
  user_error("{}: {} '{}' is not supported", file.string(), component, what);
}

// What `read` says is wrong, with the file and the component.
template <class Read>
auto with_component(const path& file, const char* component, Read&& read) {
  try {
    return read();
  } catch (const UserError& error) {
    user_error("{}: {}: {}", file.string(), component, error.what());
  }
}

// {"String": …} or {"Regex": …}
Pattern read_pattern(const path& file, const char* component, const Json& node) {
  if (node.contains("String")) return Pattern::literal(node.at("String").get<std::string>());
  return with_component(file, component, [&] { return Pattern(node.at("Regex").get<std::string>()); });
}

SplitBehavior read_behavior(const path& file, const std::string& name) {
  static const std::map<std::string, SplitBehavior> kBehaviors = {
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous}};
  const auto found = kBehaviors.find(name);
  if (found == kBehaviors.end()) unsupported(file, "pre_tokenizer Split behavior", name);
  return found->second;
}

// Newer files say prepend_scheme, older ones add_prefix_space.
MetaspaceStep::Prepend read_prepend(const path& file, const Json& node) {
  using Prepend = MetaspaceStep::Prepend;
  const auto scheme = value_or<std::string>(node, "prepend_scheme", "");
  if (scheme.empty()) return value_or(node, "add_prefix_space", true) ? Prepend::always : Prepend::never;
  if (scheme == "always") return Prepend::always;
  if (scheme == "first") return Prepend::first;
  if (scheme == "never") return Prepend::never;
  unsupported(file, "Metaspace prepend_scheme", scheme);
}

void add_pre_tokenizer(const path& file, const Json& node, PreTokenizerParts& parts) {
  const auto type = node.at("type").get<std::string>();
  if (parts.byte_level) unsupported(file, "pre_tokenizer", type + " after ByteLevel");
  if (type == "ByteLevel") {
    if (value_or(node, "add_prefix_space", true)) parts.steps.emplace_back(PrefixSpaceStep{});
    if (value_or(node, "use_regex", true)) parts.steps.emplace_back(SplitStep{Pattern(kGpt2Pattern)});
    parts.byte_level = true;
  } else if (type == "Split") {
    parts.steps.emplace_back(SplitStep{read_pattern(file, "pre_tokenizer Split", node.at("pattern")),
                                       read_behavior(file, node.at("behavior").get<std::string>()),
                                       value_or(node, "invert", false)});
  } else if (type == "Digits") {
    const bool individual = value_or(node, "individual_digits", false);
    parts.steps.emplace_back(SplitStep{Pattern(individual ? R"(\p{N})" : R"(\p{N}+)")});
  } else if (type == "WhitespaceSplit") {
    parts.steps.emplace_back(SplitStep{Pattern(R"(\s+)"), SplitBehavior::removed});
  } else if (type == "Metaspace") {
    const auto prepend = read_prepend(file, node);
    // "first" asks where a word stands in the text as written, which a step before this one may have moved.
    if (prepend == MetaspaceStep::Prepend::first && !parts.steps.empty())
      unsupported(file, "pre_tokenizer", "Metaspace with prepend_scheme first after another step");
    parts.steps.emplace_back(
        MetaspaceStep{node.at("replacement").get<std::string>(), prepend, value_or(node, "split", true)});
  } else {
    unsupported(file, "pre_tokenizer", type);
  }
}

}  // namespace

std::vector<NormalizerStep> read_normalizer(const path& file, const Json& node) {
  static const std::map<std::string, NormalForm> kForms = {{"NFC", NormalForm::nfc},
                                                           {"NFD", NormalForm::nfd},
                                                           {"NFKC", NormalForm::nfkc},
                                                           {"NFKD", NormalForm::nfkd}};
  std::vector<NormalizerStep> steps;
  each_member(node, "normalizers", [&](const Json& member) {
    const auto type = member.at("type").get<std::string>();
    if (const auto form = kForms.find(type); form != kForms.end())
      steps.emplace_back(form->second);
    else if (type == "Prepend")
      steps.emplace_back(PrependText{member.at("prepend").get<std::string>()});
    else if (type == "Replace")
      steps.emplace_back(ReplaceText{read_pattern(file, "normalizer Replace", member.at("pattern")),
                                     member.at("content").get<std::string>()});
    else if (type == "Strip")
      steps.emplace_back(StripSpace{member.at("strip_left").get<bool>(), member.at("strip_right").get<bool>()});
    else if (type == "Nmt")
      steps.emplace_back(NmtRule{});
    else if (type == "Precompiled")
      steps.emplace_back(with_component(file, "normalizer Precompiled", [&] {
        return Charsmap(member.at("precompiled_charsmap").get<std::string>());
      }));
    else
      unsupported(file, "normalizer", type);
  });
  return steps;
}

PreTokenizerParts read_pre_tokenizer(const path& file, const Json& node) {
  PreTokenizerParts parts;
  each_member(node, "pretokenizers", [&](const Json& member) { add_pre_tokenizer(file, member, parts); });
  return parts;
}

std::vector<DecoderStep> read_decoder(const path& file, const Json& node) {
  std::vector<DecoderStep> steps;
  each_member(node, "decoders", [&](const Json& member) {
    const auto type = member.at("type").get<std::string>();
    if (type == "ByteLevel") {
      steps.emplace_back(ByteLevelDecoder{});
    } else if (type == "ByteFallback") {
      steps.emplace_back(ByteFallbackDecoder{});
    } else if (type == "Fuse") {
      steps.emplace_back(FuseDecoder{});
    } else if (type == "Metaspace") {
      const bool drop_first = read_prepend(file, member) != MetaspaceStep::Prepend::never;
      steps.emplace_back(MetaspaceDecoder{member.at("replacement").get<std::string>(), drop_first});
    } else if (type == "Replace") {
      steps.emplace_back(ReplaceDecoder{read_pattern(file, "decoder Replace", member.at("pattern")),
                                        member.at("content").get<std::string>()});
    } else if (type == "Strip") {
      size_t at = 0;
      const auto content = member.at("content").get<std::string>();
      if (content.empty()) unsupported(file, "decoder", "Strip without content");
      steps.emplace_back(StripDecoder{next_char(content, at), member.at("start").get<size_t>(),
                                      member.at("stop").get<size_t>()});
    } else {
      unsupported(file, "decoder", type);
    }
  });
  return steps;
}

Surroundings read_post_processor(const path& file, const Json& node) {
  Surroundings around;
  each_member(node, "processors", [&](const Json& member) {
    const auto type = member.at("type").get<std::string>();
    if (type == "ByteLevel") return;  // moves offsets only
    if (type != "TemplateProcessing") unsupported(file, "post_processor", type);
    bool after_text = false;
    std::vector<int32_t> before, after;
    for (const Json& item : member.at("single")) {
      if (item.contains("Sequence")) {
        after_text = true;
        continue;
      }
      const auto name = item.at("SpecialToken").at("id").get<std::string>();
      for (const Json& id : member.at("special_tokens").at(name).at("ids"))
        (after_text ? after : before).push_back(id.get<int32_t>());
    }
    around.prefix.insert(around.prefix.begin(), before.begin(), before.end());
    around.suffix.insert(around.suffix.end(), after.begin(), after.end());
  });
  return around;
}

}  // namespace gaggle
