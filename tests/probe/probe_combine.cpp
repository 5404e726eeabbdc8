// probe combine: reads {"how": "upgrad" | "pcgrad", "grams": [[[…]], …]} from stdin and writes {"weights": [[…], …], "orders":
// [[[…], …], …]}: of each Gram the weights, and of each task the order in which pcgrad goes through the others.
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/philox.h"
#include "probe/probe.h"
#include "train/combine.h"

namespace gaggle::probe {
namespace {

using nlohmann::json;

int run_combine(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) user_error("probe combine <SPEC.json");
  const json spec = json::parse(std::cin);
  const CombineSettings settings{combine_named(spec.at("how")), /*seed=*/3, 0};
  json out = {{"weights", json::array()}, {"orders", json::array()}};
  for (size_t n = 0; n < spec.at("grams").size(); ++n) {
    const std::vector<std::vector<double>> rows = spec["grams"][n];
    std::vector<double> values;
    for (const auto& row : rows) values.insert(values.end(), row.begin(), row.end());
    const auto tasks = static_cast<int64_t>(rows.size()), first_sample = static_cast<int64_t>(n);
    out["weights"].push_back(
        combining_weights(settings, at::tensor(values, at::kDouble).view({tasks, tasks}), first_sample));
    const uint64_t key = random_key("pcgrad", {settings.seed, n});
    json& orders = out["orders"].emplace_back(json::array());
    for (size_t i = 0; i < rows.size(); ++i)
      orders.push_back(random_permutation(random_key("pcgrad", {key, i}), tasks));
  }
  std::cout << out.dump();
  return 0;
}

const Register combine("combine", run_combine);

}  // namespace
}  // namespace gaggle::probe
