#include "app/plan_lines.h"

#include <algorithm>

#include "app/command_line.h"
#include "base/error.h"
#include "base/table.h"
#include "model/hardware.h"
#include "train/batch.h"

namespace gaggle {

std::string plan_line(const char* label, const std::string& words) {
  return fmt::format("{:<9} {}\n", label, words);
}

std::string machine_line(const Session& session, const BaseModel& base, double gemm_flops) {
  return fmt::format("{} · {} of {} · {}, measured {}FLOP/s{}\n", version_text(),
                     plural(session.world->size(), "rank"), plural(session.threads, "thread"),
                     hardware_text(base.device(), base.dtype()), count_text(gemm_flops),
                     session.world->size() > 1 ? " a rank" : "");
}

std::string model_words(const BaseModel& base) {
  return fmt::format("{}   {}, {} parameters frozen, {} sites", base.spec().name, base.spec().model_type,
                     count_text(static_cast<double>(base.parameters())), base.sites().size());
}

std::string dropout_words(const StepSettings& step) {
  return step.dropout.p > 0 ? fmt::format(", dropout {:g} in the base", step.dropout.p) : "";
}

std::string data_words(const std::vector<const TokenTask*>& tasks) {
  int64_t rows = 0, cut = 0, shortest = INT64_MAX, longest = 0;
  for (const TokenTask* task : tasks) {
    cut += task->rows_cut;
    rows += static_cast<int64_t>(task->rows(Split::train).size());
    for (const TokenRow& row : task->rows(Split::train)) {
      shortest = std::min(shortest, fed_rows(row));
      longest = std::max(longest, fed_rows(row));
    }
  }
  return fmt::format("{}, {} training rows of {} to {} tokens, {} rows cut", plural(tasks.size(), "task"),
                     with_commas(rows), shortest, longest, with_commas(cut));
}

}  // namespace gaggle
