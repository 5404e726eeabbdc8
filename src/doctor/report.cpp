#include "doctor/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/names.h"
#include "base/screen.h"
#include "base/table.h"

namespace gaggle {
namespace {

constexpr const char* severity_names[] = {"ok", "look at this", "wrong", ""};

// "machine: open files" for each finding of that severity.
std::vector<std::string> names_of(const std::vector<ReportBlock>& blocks, Severity severity) {
  std::vector<std::string> names;
  for (const ReportBlock& block : blocks)
    for (const Finding& finding : block.findings)
      if (finding.severity == severity) names.push_back(block.title + ": " + finding.topic);
  return names;
}

// "10.3 on 2 cores"; "": none is.
std::string load_of_a_busy_host(const std::vector<ReportBlock>& blocks) {
  for (const ReportBlock& block : blocks)
    for (const Finding& finding : block.findings)
      if (finding.topic == "load" && finding.severity == Severity::warning)
        return finding.words.substr(0, finding.words.find(':'));
  return "";
}

}  // namespace

std::string findings_block(const ReportBlock& block, size_t line_width) {
  size_t topic_width = 10;
  for (const Finding& finding : block.findings) topic_width = std::max(topic_width, finding.topic.size());
  const size_t indent = 2 + 12 + 2 + topic_width + 2;
  std::string text = "\n" + block.title + "\n";
  for (const Finding& finding : block.findings) {
    const std::string line = fmt::format("  {:<12}  {:<{}}  {}", severity_names[static_cast<int>(finding.severity)],
                                         finding.topic, topic_width, finding.words);
    text += wrapped(line, std::max(line_width, indent + 30), indent) + "\n";
  }
  return text;
}

bool is_fit(const std::vector<ReportBlock>& blocks) { return names_of(blocks, Severity::error).empty(); }

std::string verdict_block(const std::vector<ReportBlock>& blocks) {
  const auto errors = names_of(blocks, Severity::error), warnings = names_of(blocks, Severity::warning);
  if (!errors.empty()) return fmt::format("\nnot fit: {} wrong ({})\n", errors.size(), join(errors, "; "));
  if (const std::string load = load_of_a_busy_host(blocks); !load.empty()) {
    const auto others = std::ssize(warnings) - 1;
    return fmt::format(
        "\nbusy: load {}; but for that fit{}\n", load,
        others == 0 ? ""
                    : fmt::format(", with {} to look at ({})", plural(others, "other thing"), join(warnings, "; ")));
  }
  if (!warnings.empty())
    return fmt::format("\nfit, with {} to look at ({})\n", plural(std::ssize(warnings), "thing"), join(warnings, "; "));
  return "\nfit: nothing to look at\n";
}

std::string duration_text(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.0f} µs", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.{}f} ms", seconds * 1e3, seconds < 0.01 ? 1 : 0);
  return fmt::format("{:.1f} s", seconds);
}

std::string rate_text(double bytes_per_s) { return bytes_text(static_cast<uint64_t>(bytes_per_s)) + "/s"; }

std::string flops_text(double flops_per_s) { return count_text(flops_per_s) + "FLOP/s"; }

}  // namespace gaggle
