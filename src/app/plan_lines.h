// Lines that the plans of all jobs share: the machine, the model, the data.
#pragma once

#include <string>
#include <vector>

#include "base/table.h"
#include "data/tokens.h"
#include "job/session.h"
#include "model/base_model.h"
#include "train/trainer.h"

namespace gaggle {

std::string plan_line(const char* label, const std::string& words);  // "data      12 tasks, …"

// gemm_flops: per second, of one rank while all are busy.
std::string machine_line(const Session& session, const BaseModel& base, double gemm_flops);
std::string model_words(const BaseModel& base);
std::string dropout_words(const StepSettings& step);                 // "": the base has none
std::string data_words(const std::vector<const TokenTask*>& tasks);  // of their training rows

}  // namespace gaggle
