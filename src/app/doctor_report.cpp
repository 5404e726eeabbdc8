#include "app/doctor_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/names.h"
#include "base/table.h"

namespace gaggle {
namespace {

constexpr const char* mark_words[] = {"ok", "look at this", "wrong", ""};

// Lines of at most `width`, broken at blanks; a longer word stays whole.
std::vector<std::string> wrapped(const std::string& words, size_t width) {
  std::vector<std::string> lines;
  size_t begin = 0;
  while (words.size() - begin > width) {
    size_t end = words.rfind(' ', begin + width);
    if (end == std::string::npos || end <= begin) end = words.find(' ', begin);
    if (end == std::string::npos) break;
    lines.push_back(words.substr(begin, end - begin));
    begin = end + 1;
  }
  lines.push_back(words.substr(begin));
  return lines;
}

std::string named(const std::vector<ReportBlock>& blocks, Mark mark, size_t& count) {
  std::vector<std::string> names;
  for (const ReportBlock& block : blocks)
    for (const Finding& finding : block.findings)
      if (finding.mark == mark) names.push_back(block.title + ": " + finding.topic);
  count = names.size();
  return join(names, "; ");
}

}  // namespace

std::string block_text(const ReportBlock& block, size_t line_width) {
  size_t topic_width = 10;
  for (const Finding& finding : block.findings) topic_width = std::max(topic_width, finding.topic.size());
  const size_t indent = 2 + 12 + 2 + topic_width + 2;
  std::string text = "\n" + block.title + "\n";
  for (const Finding& finding : block.findings) {
    const auto lines = wrapped(finding.words, std::max<size_t>(30, line_width - std::min(line_width, indent)));
    text += fmt::format("  {:<12}  {:<{}}  {}\n", mark_words[static_cast<int>(finding.mark)], finding.topic,
                        topic_width, lines[0]);
    for (size_t i = 1; i < lines.size(); ++i) text += std::string(indent, ' ') + lines[i] + "\n";
  }
  return text;
}

bool is_fit(const std::vector<ReportBlock>& blocks) {
  size_t wrong = 0;
  named(blocks, Mark::wrong, wrong);
  return wrong == 0;
}

std::string verdict_text(const std::vector<ReportBlock>& blocks) {
  size_t wrong = 0, looks = 0;
  const std::string wrongs = named(blocks, Mark::wrong, wrong), others = named(blocks, Mark::look, looks);
  if (wrong > 0) return fmt::format("\nnot fit: {} wrong ({})\n", wrong, wrongs);
  if (looks > 0)
    return fmt::format("\nfit, with {} to look at ({})\n",
                       looks == 1 ? "1 thing" : fmt::format("{} things", looks), others);
  return "\nfit: nothing to look at\n";
}

std::string duration_text(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.0f} µs", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.{}f} ms", seconds * 1e3, seconds < 0.01 ? 1 : 0);
  return fmt::format("{:.1f} s", seconds);
}

std::string rate_text(double bytes_per_s) {
  return bytes_text(static_cast<uint64_t>(bytes_per_s)) + "/s";
}

std::string flops_text(double flops_per_s) {
  return count_text(flops_per_s) + "FLOP/s";
}

}  // namespace gaggle
