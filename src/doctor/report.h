// What the doctor prints: one aligned block per topic, a word of severity before every line, and a verdict at
// the end.
#pragma once

#include <string>
#include <vector>

#include "base/screen.h"

namespace gaggle {

// warning: fit, but worth a look; error: something that gaggle needs is not there; note: good to know.
enum class Severity { ok, warning, error, note };
inline Severity warning_if(bool odd) { return odd ? Severity::warning : Severity::ok; }
inline Severity error_if(bool broken) { return broken ? Severity::error : Severity::ok; }

struct Finding {
  Severity severity = Severity::ok;
  std::string topic, words;
};

struct ReportBlock {
  std::string title;
  std::vector<Finding> findings = {};
  void add(Severity severity, const std::string& topic, const std::string& words) {
    findings.push_back({severity, topic, words});
  }
};

// Words that do not fit into the line go on under themselves. Ends with a newline.
std::string findings_block(const ReportBlock& block, size_t line_width = output_columns().value_or(118));
// "fit: …", "fit, with 2 things to look at (machine: open files; …)", "busy: load 10.3 on 2 cores; …", "not fit: …".
std::string verdict_block(const std::vector<ReportBlock>& blocks);
bool is_fit(const std::vector<ReportBlock>& blocks);

std::string duration_text(double seconds);   // "12 µs", "0.8 ms", "3.0 s"
std::string rate_text(double bytes_per_s);   // "312 MB/s"
std::string flops_text(double flops_per_s);  // "1.16 TFLOP/s"

}  // namespace gaggle
