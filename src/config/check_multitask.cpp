// Rules of what is trained on many tasks: sampling, Poly and MHR, adaptation, alignment.
#include <set>

#include "base/error.h"
#include "config/check.h"

namespace gaggle {
namespace {

template <class Value>
void check_list(Complaints& complaints, const std::string& key, const std::vector<Value>& values) {
  if (values.empty()) complaints.emplace_back(key, key + " is empty: name at least one");
  std::set<Value> seen;
  for (const Value& value : values)
    if (!seen.insert(value).second) complaints.emplace_back(key, fmt::format("{} names {} twice", key, value));
}

}  // namespace

void check_sampling(Complaints& complaints, const Config& config) {
  const DataConfig& data = config.data;
  refuse_if(data.sampling == "capped" && data.sampling_cap == 0, complaints, "data.sampling",
            "data.sampling = \"capped\" needs data.sampling_cap > 0: the examples that a task counts at most");
  refuse_if(data.sampling != "capped" && data.sampling_cap > 0, complaints, "data.sampling_cap",
            "data.sampling_cap belongs to data.sampling = \"capped\"; it is \"{}\"", data.sampling);
  refuse_if(data.sampling != "temperature" && data.sampling_temperature != 1, complaints, "data.sampling_temperature",
            "data.sampling_temperature belongs to data.sampling = \"temperature\"; it is \"{}\"", data.sampling);
}

void check_poly(Complaints& complaints, const Config& config) {
  const PolyConfig& poly = config.poly;
  refuse_if(poly.method != "mhr" && poly.heads != 1, complaints, "poly.heads",
            "poly.heads = {} belongs to poly.method = \"mhr\"; \"{}\" has one head: leave it out", poly.heads,
            poly.method);
  refuse_if(poly.adapter == "ia3" && poly.rank != 1, complaints, "poly.rank",
            "poly.rank belongs to poly.adapter = \"lora\"; \"ia3\" has a vector where the other has a pair: "
            "leave it out");
  refuse_if(poly.average_from > 0 && poly.average_last_steps > 0, complaints, "poly.average_from",
            "poly.average_from and poly.average_last_steps exclude each other: both say when routing becomes "
            "uniform");
  refuse_if(
      poly.method == "private" && config.train.combine != "sum", complaints, "train.combine",
      "train.combine = \"{}\" joins gradients of skills that tasks share; with poly.method = \"private\" each has its "
      "own: leave it out",
      config.train.combine);
  refuse_if(poly.sample == "example" && config.alignment.space != "skill", complaints, "alignment.space",
            "alignment.space = \"{}\" cannot be measured with poly.sample = \"example\": a task has "
            "no single mixture then; take \"skill\"",
            config.alignment.space);
}

void check_adapt(Complaints& complaints, const Config& config) {
  check_list(complaints, "adapt.method", config.adapt.method);
  check_list(complaints, "adapt.shots", config.adapt.shots);
  refuse_if(config.adapt.loss == "tfew" && config.train.label_smoothing > 0, complaints, "adapt.loss",
            "adapt.loss = \"tfew\" has no label smoothing: set train.label_smoothing = 0");
}

}  // namespace gaggle
