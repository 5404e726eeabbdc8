// Cosines over a window: what the noise of small batches does to them, who is counted, and what is stored.
#include "alignment/windows.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "alignment/record.h"
#include "alignment/report.h"
#include "base/error.h"
#include "base/file.h"
#include "made.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;
using test::make_batch;
using test::make_sites;
using test::normal;

AlignmentWindows fresh_windows(const std::vector<AlignedSite>& sites, std::vector<std::string> tasks, int64_t window) {
  return {std::move(tasks), site_groups(sites), window, {}, {}};
}

// Gradients of two or more tasks: a signal that stays and noise that is drawn anew for every half of a batch.
MeasuredStep measure_noisy(AlignmentWindows& windows, const std::vector<AlignedSite>& sites, const at::Tensor& signal,
                           const BatchTasks& batch, double noise, int64_t step) {
  const int64_t values = values_of(sites);
  const auto tasks = static_cast<int64_t>(batch.tasks.size());
  const auto half = [&](uint64_t which, const std::vector<double>& share) {
    at::Tensor shares = at::empty({tasks, 1});
    for (int64_t t = 0; t < tasks; ++t) shares[t][0] = share[static_cast<size_t>(t)];
    return shares * (signal + noise * normal("noise", static_cast<uint64_t>(step) * 2 + which, {tasks, values}));
  };
  const at::Tensor even = half(0, batch.even_share);
  const TaskGradients gradients{GradientSpace::mixed, even + half(1, batch.odd_share), even, {}};
  const std::array mixed = {GradientSpace::mixed};
  return add_measurement(windows, step, GradientSpace::mixed,
                         task_grams(sites, gradients, batch, mixed, *make_self()).at(GradientSpace::mixed), batch);
}

// Signals at a cosine of 0.6, noise of three times their length: the naive cosine sinks towards 0, the one
// between halves does not, and it scatters about the truth on both sides. Halves differ in size.
TEST(NoiseFree, IsUnbiasedWhereTheNaiveCosineIsNot) {
  const std::vector<AlignedSite> sites = make_sites(6, 2, 1);
  const int64_t values = values_of(sites);
  at::Tensor basis = normal("signal", 0, {2, values});
  basis[0] /= basis[0].norm();
  basis[1] -= basis[0] * basis[0].dot(basis[1]);
  basis[1] /= basis[1].norm();
  const at::Tensor signal = at::stack({basis[0], 0.6 * basis[0] + 0.8 * basis[1]}) * std::sqrt(values);
  double naive = 0, noise_free = 0, squares = 0;
  constexpr int runs = 20;
  int64_t step = 0;
  for (int run = 0; run < runs; ++run) {
    AlignmentWindows windows = fresh_windows(sites, {"a", "b"}, 20);
    MeasuredStep last;
    for (int i = 0; i < 20; ++i) last = measure_noisy(windows, sites, signal, make_batch(2), 3, ++step);
    const double estimate = last.groups[0].noise_free.mean_cosine;
    naive += newest_matrices(windows, GradientSpace::mixed).cosine[0][1].item<double>() / runs;
    noise_free += estimate / runs;
    squares += estimate * estimate / runs;
  }
  const double standard_error = std::sqrt((squares - noise_free * noise_free) / (runs - 1));
  EXPECT_LT(naive, 0.2);
  EXPECT_NEAR(noise_free, 0.6, 3 * standard_error);
  EXPECT_LT(standard_error, 0.05);
}

// 3 of 5 tasks in one batch, one of them with a single sample; another batch of other tasks.
TEST(Windows, CountPairsThatMetAndBeginAnew) {
  const std::vector<AlignedSite> sites = make_sites(3, 1, 1);
  AlignmentWindows windows = fresh_windows(sites, {"a", "b", "c", "d", "e"}, 2);
  const at::Tensor signal = normal("signal", 0, {3, values_of(sites)});
  BatchTasks batch = make_batch(3);
  batch.tasks = {0, 2, 4};
  batch.odd_samples[2] = 0, batch.odd_share[2] = 0;
  MeasuredStep step = measure_noisy(windows, sites, signal, batch, 0, 10);
  EXPECT_EQ(step.groups[0].cosine.pairs, 3);
  EXPECT_EQ(step.groups[0].noise_free.pairs, 1) << "task e has one sample";
  EXPECT_EQ(step.window_measurements, 1);
  EXPECT_EQ(windows.complete.size(), 0u);
  EXPECT_EQ(step.site_cosines.size(), 3u);
  EXPECT_EQ(step.groups.size(), 1 + 2 + 2u);  // all, two kinds, two layers

  batch = make_batch(3);
  batch.tasks = {0, 1, 2};
  step = measure_noisy(windows, sites, signal, batch, 0, 20);
  const WindowMatrices complete = windows.complete.at(GradientSpace::mixed);
  EXPECT_EQ(complete.measurements, 2);
  EXPECT_EQ(complete.cosine_count[0][2].item<int64_t>(), 2);
  EXPECT_EQ(complete.cosine_count[0][4].item<int64_t>(), 1);
  EXPECT_EQ(complete.noise_free_count[0][4].item<int64_t>(), 0);
  EXPECT_TRUE(std::isnan(complete.cosine[1][4].item<double>())) << "b and e never met";
  EXPECT_TRUE(std::isnan(complete.noise_free[0][4].item<double>()));

  step = measure_noisy(windows, sites, signal, batch, 0, 30);
  EXPECT_EQ(step.window_measurements, 1);
  EXPECT_EQ(windows.running.at(GradientSpace::mixed).full.count[0][4].item<int64_t>(), 0);
  EXPECT_EQ(newest_matrices(windows, GradientSpace::mixed).last_step, 20);
}

TEST(Windows, NormsThatAreNotPositiveAreNotCountedAndNothingIsClamped) {
  PairSums sums = no_pairs(1, 3);
  const at::Tensor gram = at::tensor({-1.0, 5.0, 2.0, 5.0, -2.0, 1.0, 2.0, 1.0, 4.0}, at::kDouble).view({1, 3, 3});
  const std::vector<int> tasks = {0, 1, 2};
  add_pairs(sums, gram, tasks, {true, true, true});
  EXPECT_TRUE(std::isnan(pair_cosines(sums)[0][0][1].item<double>()))
      << "the product of two negative norms is positive";
  EXPECT_TRUE(std::isnan(pair_cosines(sums)[0][0][2].item<double>()));
  EXPECT_EQ(pair_statistics(pair_cosines(sums)[0]).pairs, 0);
  sums = no_pairs(1, 3);
  add_pairs(sums, gram.abs(), tasks, {true, true, true});
  EXPECT_NEAR(pair_cosines(sums)[0][0][1].item<double>(), 5 / std::sqrt(2.0), 1e-12);
}

TEST(Statistics, MeanAndConflicts) {
  const at::Tensor gram = at::tensor({4.0, -2.0, 0.0, -2.0, 4.0, 0.0, 0.0, 0.0, 0.0}, at::kDouble).view({3, 3});
  const PairStatistics statistics = pair_statistics(cosines(gram));
  EXPECT_EQ(statistics.pairs, 1);
  EXPECT_DOUBLE_EQ(statistics.mean_cosine, -0.5);
  EXPECT_DOUBLE_EQ(statistics.conflicting, 1);
}

class AlignmentRecord : public testing::Test {
 protected:
  void SetUp() override {
    run_ = fs::path(testing::TempDir()) / "alignment_record" /
           testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(run_);
  }
  // Measures up to the given step, once every 20; what is there goes on.
  void train(int64_t from, int64_t to, int64_t window) {
    AlignmentWindows windows = resume_windows(folder(), from, fresh_windows(sites_, {"add", "sub", "mul"}, window));
    const at::Tensor signal = normal("signal", 0, {3, values_of(sites_)}) + 1;
    for (int64_t step = from + 20; step <= to; step += 20) {
      MeasuredStep measured = measure_noisy(windows, sites_, signal, make_batch(3), 1, step);
      measured.seconds = 0.01, measured.step_seconds = 0.5;
      append_step(folder(), measured);
      if (step % 40 == 0) write_windows(folder(), windows);
    }
  }
  fs::path folder() const { return run_ / "alignment"; }
  fs::path run_;
  std::vector<AlignedSite> sites_ = make_sites(14, 2, 1);
};

TEST_F(AlignmentRecord, IsReadBack) {
  train(0, 120, 3);
  const std::vector<MeasuredStep> steps = read_steps(folder());
  ASSERT_EQ(steps.size(), 6u);
  EXPECT_EQ(steps[4].step, 100);
  EXPECT_EQ(steps[4].window_measurements, 2);
  EXPECT_EQ(steps[4].groups[1].name, "q_proj");
  EXPECT_EQ(steps[4].site_cosines.size(), sites_.size());
  EXPECT_TRUE(std::isnan(steps[4].sketch_error));
  EXPECT_DOUBLE_EQ(steps[4].step_seconds, 0.5);
  const AlignmentWindows windows = read_windows(folder());
  EXPECT_EQ(windows.tasks, (std::vector<std::string>{"add", "sub", "mul"}));
  EXPECT_EQ(windows.groups, site_groups(sites_));
  EXPECT_EQ(windows.complete.at(GradientSpace::mixed).last_step, 120);
  const double noise_free = pair_statistics(windows.complete.at(GradientSpace::mixed).noise_free).mean_cosine;
  EXPECT_DOUBLE_EQ(noise_free, steps[5].groups[0].noise_free.mean_cosine);
}

// For who draws single pairs: their cosines of this measurement, whose mean and conflicts the line says too.
TEST_F(AlignmentRecord, KeepsTheCosinesOfTheBatchsPairs) {
  train(0, 20, 3);
  std::ifstream file(folder() / "alignment.jsonl");
  const auto line = nlohmann::json::parse(file);
  EXPECT_EQ(line.at("batch"), (std::vector<int>{0, 1, 2}));
  const std::vector<double> pairs = line.at("pair_cosines");
  ASSERT_EQ(pairs.size(), 3u);
  EXPECT_NEAR((pairs[0] + pairs[1] + pairs[2]) / 3, line.at("mean_cosine").get<double>(), 1e-4);
}

// A run that was cut off at step 110 and goes on from the checkpoint of step 80: same lines, same matrices.
TEST_F(AlignmentRecord, AResumedRunIsTheUndisturbedOne) {
  train(0, 80, 4);
  const std::string at_80 = read_file(folder() / "alignment.safetensors");
  train(80, 100, 4);
  std::ofstream(folder() / "alignment.jsonl", std::ios::app) << "{\"step\": 12";
  EXPECT_EQ(read_steps(folder()).size(), 5u);
  EXPECT_EQ(read_file(folder() / "alignment.safetensors"), at_80);
  train(80, 160, 4);
  const std::string lines = read_file(folder() / "alignment.jsonl");
  const std::string matrices = read_file(folder() / "alignment.safetensors");
  fs::remove_all(run_);
  train(0, 160, 4);
  EXPECT_EQ(lines, read_file(folder() / "alignment.jsonl"));
  EXPECT_EQ(matrices, read_file(folder() / "alignment.safetensors"));
}

// Windows that hold steps after the checkpoint are no start; nor are those of other settings.
TEST_F(AlignmentRecord, WindowsOfALaterStepBeginAnew) {
  train(0, 80, 4);
  const AlignmentWindows fresh = fresh_windows(sites_, {"add", "sub", "mul"}, 4);
  EXPECT_EQ(resume_windows(folder(), 80, fresh).running.size(), 1u);
  EXPECT_EQ(resume_windows(folder(), 80, fresh_windows(sites_, {"add", "sub"}, 4)).running.size(), 0u);
  EXPECT_EQ(resume_windows(folder(), 60, fresh).running.size(), 0u);
  EXPECT_EQ(read_steps(folder()).size(), 3u);
}

TEST_F(AlignmentRecord, BadFilesAreNamed) {
  const auto message = [](auto what) -> std::string {
    try {
      what();
    } catch (const UserError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_NE(message([&] { read_alignment_run(run_); }).find("alignment.every"), std::string::npos);
  train(0, 40, 4);
  std::ofstream(folder() / "alignment.jsonl", std::ios::app) << "{\"step\": 60}\n";
  EXPECT_NE(message([&] { read_steps(folder()); }).find("alignment.jsonl:3: "), std::string::npos);
  std::ofstream(folder() / "alignment.safetensors", std::ios::trunc) << "torn";
  EXPECT_NE(message([&] { read_windows(folder()); }).find("alignment.safetensors"), std::string::npos);
}

TEST_F(AlignmentRecord, ReportShowsWindowsSitesPairsAndMatrix) {
  train(0, 160, 4);
  const AlignmentRun run = read_alignment_run(run_);
  const std::string text = alignment_page(run, 2).text();
  for (const char* part : {"mixed space", "20–80 ", "100–160 ", "q_proj", "down_proj", "layer 0", "layers 5–6",
                           "closest", "least alike", "exact gradients", "4 measurements up to step 160"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  EXPECT_EQ(text.find("nan"), std::string::npos) << text;
  EXPECT_EQ(text.find("most conflicting"), std::string::npos) << text;  // for no cosine is negative
  const at::Tensor apart = at::tensor({1.0, -0.5, 0.2, -0.5, 1.0, 0.3, 0.2, 0.3, 1.0}, at::kDouble).view({3, 3});
  const std::string pairs = pairs_table({"a", "b", "c"}, apart, {}, "", 1).text();
  EXPECT_NE(pairs.find("most conflicting  a     b    -0.500"), std::string::npos) << pairs;
  AlignmentRun other = run;
  other.name = "shared";
  const std::string comparison = comparison_table(std::vector{run, other}).text();
  EXPECT_NE(comparison.find("shared"), std::string::npos) << comparison;
  EXPECT_EQ(std::count(comparison.begin(), comparison.end(), '\n'), 3) << comparison;
  if (std::getenv("SHOW")) std::fputs((text + "\n" + comparison).c_str(), stderr);
}

}  // namespace
}  // namespace gaggle
