#include "text/pre_tokenizer.h"

#include <algorithm>

namespace gaggle {
namespace {

struct Stretch {
  size_t begin, end;
  bool matched;
};

std::vector<Stretch> stretches(const SplitStep& step, std::string_view word) {
  std::vector<Stretch> all;
  size_t done = 0;
  step.pattern.each_match(word, [&](size_t begin, size_t end) {
    if (done < begin) all.push_back({done, begin, step.invert});
    all.push_back({begin, end, !step.invert});
    done = end;
  });
  if (done < word.size()) all.push_back({done, word.size(), step.invert});
  return all;
}

// Matches joined to the stretch before (or behind, the stretches then come last first), unless that was a match.
std::vector<Stretch> joined(const std::vector<Stretch>& all, bool to_previous) {
  std::vector<Stretch> result;
  bool after_match = false;
  for (const Stretch& stretch : all) {
    if (stretch.matched && !after_match && !result.empty()) {
      (to_previous ? result.back().end : result.back().begin) = to_previous ? stretch.end : stretch.begin;
    } else {
      result.push_back(stretch);
    }
    after_match = stretch.matched;
  }
  return result;
}

std::vector<Stretch> split(const SplitStep& step, std::string_view word) {
  std::vector<Stretch> all = stretches(step, word);
  switch (step.behavior) {
    case SplitBehavior::isolated:
      return all;
    case SplitBehavior::removed:
      std::erase_if(all, [](const Stretch& stretch) { return stretch.matched; });
      return all;
    case SplitBehavior::merged_with_previous:
      return joined(all, true);
    case SplitBehavior::merged_with_next:
      std::ranges::reverse(all);
      all = joined(all, false);
      std::ranges::reverse(all);
      return all;
    case SplitBehavior::contiguous:
      break;
  }
  std::vector<Stretch> runs;
  for (const Stretch& stretch : all) {
    if (!runs.empty() && runs.back().matched == stretch.matched)
      runs.back().end = stretch.end;
    else
      runs.push_back(stretch);
  }
  return runs;
}

struct ApplyPreTokenizer {
  std::string_view word;
  bool first;  // nothing stands before this word
  Words& out;

  void keep(std::string text) const {
    out.changed.push_back(std::move(text));
    out.words.emplace_back(out.changed.back());
  }
  void operator()(const SplitStep& step) const {
    for (const auto& [begin, end, matched] : split(step, word)) out.words.push_back(word.substr(begin, end - begin));
  }
  void operator()(const PrefixSpaceStep&) const {
    if (word.starts_with(' '))
      out.words.push_back(word);
    else
      keep(" " + std::string(word));
  }
  void operator()(const MetaspaceStep& step) const {
    using Prepend = MetaspaceStep::Prepend;
    static const Pattern space = Pattern::literal(" ");
    std::string text = space.replace(word, step.replacement);
    const bool wanted = step.prepend == Prepend::always || (step.prepend == Prepend::first && first);
    if (wanted && !text.starts_with(step.replacement)) text.insert(0, step.replacement);
    if (!step.split) return keep(std::move(text));
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find(step.replacement, begin + step.replacement.size()), text.size());
      keep(text.substr(begin, end - begin));
      begin = end;
    }
  }
};

}  // namespace

Words pre_tokenize(const std::vector<PreTokenizerStep>& steps, std::string_view text, bool first) {
  Words result;
  if (!text.empty()) result.words.push_back(text);
  for (const PreTokenizerStep& step : steps) {
    std::vector<std::string_view> before;
    before.swap(result.words);
    for (size_t i = 0; i < before.size(); ++i) std::visit(ApplyPreTokenizer{before[i], first && i == 0, result}, step);
  }
  return result;
}

}  // namespace gaggle
