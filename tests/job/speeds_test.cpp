// What a plan knows of speeds: how it is added up, which source is believed, what is kept for the next plan.
#include "job/speeds.h"

#include <gtest/gtest.h>

#include <fstream>

#include "../train/fake_base.h"
#include "comm/communicator.h"
#include "job/cost.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

TEST(Speeds, AddUpBySeconds) {
  const KnownSpeed both = merged({0.2, 100}, {0.5, 50});
  EXPECT_DOUBLE_EQ(both.flops_per_s, 0.3);
  EXPECT_DOUBLE_EQ(both.seconds, 150);
  EXPECT_DOUBLE_EQ(merged({}, {0.4, 3}).flops_per_s, 0.4);
  EXPECT_EQ(merged({}, {}).seconds, 0);
}

TEST(Speeds, ALongPastDoesNotOutweighThePresent) {
  const KnownSpeed both = merged({0.2, 1e6}, {0.4, 600});
  EXPECT_DOUBLE_EQ(both.flops_per_s, 0.3);
  EXPECT_DOUBLE_EQ(both.seconds, 1200);
}

TEST(Speeds, EarlierRunsAreBelievedFirst) {
  const RatesByKind earlier = {{"a", 0.1}}, measured = {{"a", 0.2}, {"b", 0.4}};
  EXPECT_EQ(choose_speed("a", earlier, measured, 0.7).source, SpeedSource::earlier);
  EXPECT_DOUBLE_EQ(choose_speed("a", earlier, measured, 0.7).flops_per_s, 0.1);
  EXPECT_EQ(choose_speed("b", earlier, measured, 0.7).source, SpeedSource::measured);
  EXPECT_DOUBLE_EQ(choose_speed("b", earlier, measured, 0.7).flops_per_s, 0.4);
  EXPECT_DOUBLE_EQ(choose_speed("c", earlier, measured, 0.7).flops_per_s, 0.3) << "the mean of what was measured";
  EXPECT_EQ(choose_speed("c", earlier, {}, 0.7).source, SpeedSource::earlier);
  EXPECT_DOUBLE_EQ(choose_speed("c", earlier, {}, 0.7).flops_per_s, 0.1) << "else of what is known";
  EXPECT_EQ(choose_speed("c", {}, {}, 0.7).source, SpeedSource::assumed);
  EXPECT_DOUBLE_EQ(choose_speed("c", {}, {}, 0.7).flops_per_s, 0.7);
}

TEST(Speeds, LikeLengthsAreOneKind) {
  EXPECT_EQ(passes_text(1000), passes_text(1100));
  EXPECT_NE(passes_text(1000), passes_text(1500));
  PhaseSettings phase;
  phase.batch_size = 16;
  phase.step.lanes = 8;
  phase.step.tokens_per_microbatch = 512;
  EXPECT_EQ(passes_text(phase, 64), passes_text(128));
  EXPECT_EQ(passes_text(phase, 4096), passes_text(512));
}

TEST(Speeds, ValidationsOfAPhaseAreCounted) {
  PhaseSettings phase;
  phase.schedule.steps = 25;
  EXPECT_EQ(validations(phase), 0);
  phase.validate_every = 10;
  EXPECT_EQ(validations(phase), 2);
  phase.keep_best = true;
  EXPECT_EQ(validations(phase), 3);
}

struct Place {
  fs::path folder = fs::temp_directory_path() / ("gaggle_speeds_" + std::to_string(::getpid()));
  FakeBase base;
  Config config;
  JobOptions options;
  Session session{{}, make_self(), at::kCPU, 1, {}};
  JobContext context{config, options, session, base, 1e9};
  Place() { config.registry.cache = folder.string(); }
  ~Place() { fs::remove_all(folder); }
  fs::path only_file() const { return fs::directory_iterator(folder / "speeds")->path(); }
};

TEST(Speeds, AreKeptByKindAndMachine) {
  Place place;
  EXPECT_FALSE(read_speed(place.context, "a"));
  keep_speeds(place.context, {{"a", {0.2, 100}}});
  keep_speeds(place.context, {{"a", {0.5, 50}}});
  EXPECT_DOUBLE_EQ(read_speed(place.context, "a").value().flops_per_s, 0.3);
  EXPECT_DOUBLE_EQ(read_speed(place.context, "a").value().seconds, 150);
  EXPECT_FALSE(read_speed(place.context, "b"));
  place.session.threads = 2;
  EXPECT_FALSE(read_speed(place.context, "a"));
}

TEST(Speeds, DamagedOrAbsentFilesAreNoSpeeds) {
  Place place;
  keep_speeds(place.context, {{"a", {0.2, 100}}});
  for (const char* text : {"", "{", "{\"share\": 0, \"seconds\": 1}", "{\"share\": \"x\", \"seconds\": 1}"}) {
    std::ofstream(place.only_file()) << text;
    EXPECT_FALSE(read_speed(place.context, "a")) << text;
  }
  place.config.registry.cache = "";
  keep_speeds(place.context, {{"a", {0.2, 100}}});
  EXPECT_FALSE(read_speed(place.context, "a"));
}

// A job of two kinds, whose items each come to a day at the assumed share.
struct TwoKinds {
  Place place;
  Job job;
  int tried = 0;
  explicit TwoKinds(double flops = 1e14) {
    for (const char* name : {"a", "b", "c"}) job.items.push_back({name, name});
    job.work = {{"x", flops}, {"x", 2 * flops}, {"y", flops}};
    job.result = [](const WorkItem& item) { return item.key == "c" ? std::optional<std::string>("") : std::nullopt; };
    job.try_out = [this](size_t item, double) {
      EXPECT_EQ(item, 1U) << "the longest open item of each kind that is not known";
      ++tried;
      return 0.25e9;
    };
  }
};

TEST(Speeds, WhatIsNotKnownIsMeasured) {
  TwoKinds two;
  EXPECT_NE(expect_costs(two.place.context, two.job).source.find("measured: short steps now"), std::string::npos);
  EXPECT_EQ(two.tried, 3) << "the smallest piece, then two of the time there is";
  EXPECT_DOUBLE_EQ(two.job.items[0].cost, 1e14 / 0.25e9);
  keep_speeds(two.place.context, {{"x", {0.1e9, 60}}});
  two.place.context.gemm_flops /= 2;  // a neighbour is busy while this start measures
  EXPECT_EQ(expect_costs(two.place.context, two.job).source, "as in earlier runs here");
  EXPECT_EQ(two.tried, 3);
  EXPECT_DOUBLE_EQ(two.job.items[1].cost, 2e14 / 0.1e9);
}

TEST(Speeds, ShortJobsAndThoseThatCannotBeTriedAreAssumed) {
  TwoKinds soon(1e6);
  EXPECT_EQ(expect_costs(soon.place.context, soon.job).source, "assumed: 50% of the GEMM rate");
  EXPECT_EQ(soon.tried, 0);
  TwoKinds failing;
  failing.job.try_out = [](size_t, double) -> double { throw std::runtime_error("no memory"); };
  EXPECT_EQ(expect_costs(failing.place.context, failing.job).source, "assumed: 50% of the GEMM rate");
}

}  // namespace
}  // namespace gaggle
