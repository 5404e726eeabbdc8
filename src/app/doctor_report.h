// What the doctor prints: one aligned block per topic, a mark before every line, and a verdict at the end.
#pragma once

#include <string>
#include <vector>

namespace gaggle {

// look: fit, but worth a look; wrong: something that gaggle needs is not there; none: good to know.
enum class Mark { ok, look, wrong, none };

struct Finding {
  Mark mark = Mark::ok;
  std::string topic, words;
};

struct ReportBlock {
  std::string title;
  std::vector<Finding> findings;
  void add(Mark mark, const std::string& topic, const std::string& words) {
    findings.push_back({mark, topic, words});
  }
};

// Words that do not fit into the line go on under themselves. Ends with a newline.
std::string block_text(const ReportBlock& block, size_t line_width = 118);
// "fit: …", "fit, 2 things to look at: machine/open files, …", "not fit: …".
std::string verdict_text(const std::vector<ReportBlock>& blocks);
bool is_fit(const std::vector<ReportBlock>& blocks);

std::string duration_text(double seconds);   // "12 µs", "0.83 ms", "3.0 s"
std::string rate_text(double bytes_per_s);   // "312 MB/s"
std::string flops_text(double flops_per_s);  // "1.16 TFLOP/s"

}  // namespace gaggle
