// Sums that travel while the layers below are still in their backward pass.
#include "train/early_sums.h"

#include <gtest/gtest.h>

#include <mutex>
#include <sstream>
#include <thread>

#include "small_expert.h"
#include "train/trainer.h"
#include "train/watched_layers.h"

namespace gaggle {
namespace {

std::vector<Site> sites_of_layers(std::initializer_list<int> layers) {
  std::vector<Site> sites;
  for (const int layer : layers) {
    Site& site = sites.emplace_back();
    site.index = static_cast<int>(sites.size()) - 1;
    site.layer = layer;
    site.name = fmt::format("layers.{}.linear{}", layer, site.index);
  }
  return sites;
}

class Nothing : public SiteAdapter {
  void begin(const Microbatch&) override {}
  void forward(const Site&, const at::Tensor&, at::Tensor&) override {}
  void backward(const Site&, const at::Tensor&, const at::Tensor&, at::Tensor&) override {}
};

TEST(WatchedLayers, ALayerIsLeftOnceItsSitesAndThoseAboveHaveHadTheirPass) {
  const std::vector<Site> sites = sites_of_layers({0, 0, 1, 3, 3});  // layer 2 has none
  Nothing adapter;
  std::vector<int> left;
  WatchedLayers watched(adapter, sites, [&](int layer) { left.push_back(layer); });
  at::Tensor none;
  const auto pass = [&](size_t site) {
    watched.backward(sites[site], none, none, none);
    return left;
  };
  using Layers = std::vector<int>;
  EXPECT_EQ(pass(4), Layers{});
  EXPECT_EQ(pass(2), Layers{});  // complete, but not yet its turn
  EXPECT_EQ(pass(3), (Layers{3, 2, 1}));
  EXPECT_EQ(pass(1), (Layers{3, 2, 1}));
  EXPECT_EQ(pass(0), (Layers{3, 2, 1, 0}));
}

// One tensor a site, of many sizes; lanes that fall on ranks in all ways.
TEST(EarlySums, AreThoseOfSumsThatAreSentTogether) {
  const std::vector<Site> sites = sites_of_layers({0, 0, 1, 2, 2, 2});
  std::vector<ParameterInfo> tensors;
  for (const Site& site : sites) {
    tensors.push_back({site.name + ".lora_A", {3, 4 + site.index}});
    tensors.push_back({site.name + ".lora_B", {1 + site.index}});
  }
  const ParameterLayout layout(tensors);
  for (const int64_t lanes : {2, 3, 5, 8})
    for (int ranks = 2; ranks <= std::min<int64_t>(lanes, 4); ++ranks)
      run_as_threads(ranks, 60, [&, lanes](Communicator& group) {
        const LaneRange run = lanes_of_rank(group.rank(), group.size(), lanes);
        Exchange exchange(group, layout, lanes, at::kCPU);
        EarlySums early(group, layout, lanes, at::kCPU, sites);
        LaneSums together(run, lanes, layout.size(), at::kCPU), by_layer(run, lanes, layout.size(), at::kCPU);
        SideThread thread;
        for (int step = 0; step < 2; ++step) {
          together.begin();
          by_layer.begin();
          early.begin();
          for (int64_t lane = run.begin; lane < run.end; ++lane) {
            const at::Tensor values =
                at::sin(at::arange(layout.size(), at::kFloat) * (1.0 + static_cast<double>(lane + step)));
            together.begin_lane().add_(values);
            together.end_lane();
            by_layer.begin_lane().add_(values);
            if (lane + 1 < run.end) by_layer.end_lane();
          }
          for (const int layer : {2, 1, 1, 0}) early.send(layer, by_layer, false, thread);
          EXPECT_TRUE(at::equal(early.take(), exchange.sum_to_owners(together.pieces(), exchange.owners())));
        }
      });
}

struct Member {
  std::unique_ptr<FakeBase> base;
  std::unique_ptr<LoraAdapter> adapter;
  std::unique_ptr<Trainer> trainer;
  std::vector<Sample> batch;
};

// The same on every rank, one after the other: values come from the global generator.
Member make_member(Communicator& group, const TokenTask& task, std::mutex& mutex) {
  Member member;
  {
    const std::lock_guard lock(mutex);
    member.base = std::make_unique<FakeBase>();
    const auto sites = lora_sites(member.base->sites(), {}, 2, 1);
    member.adapter =
        std::make_unique<LoraAdapter>(sites, std::vector{initial_lora(sites, 0, 0.1)}, at::kFloat, at::kCPU);
  }
  StepSettings settings;
  settings.lanes = 4;
  settings.tokens_per_microbatch = 16;
  member.trainer = std::make_unique<Trainer>(*member.base, *member.adapter, group, settings);
  TaskMix order(0, {task.name}, {static_cast<int64_t>(task.examples(Split::train).size())}, {});
  member.batch = mixed_batch(order, {&task}, 0, 8);
  return member;
}

// Of the communicator beside the group's, in its record.
int64_t finished_beside(const Communicator& group) {
  std::istringstream record(group.record_beside("").text());
  int64_t finished = 0;
  for (std::string line; std::getline(record, line);)
    finished += line.find(" world/0 ") != std::string::npos && line.find(" took ") != std::string::npos;
  return finished;
}

// The lower layer's backward pass waits for the upper layer's sums to have come.
TEST(EarlySums, TravelWhileTheLayerBelowIsInItsBackwardPass) {
  std::mutex mutex;
  const TokenTask task = fake_task();
  run_as_threads(2, 60, [&](Communicator& group) {
    Member member = make_member(group, task, mutex);
    int64_t pass = 0, seen = 0;
    const auto passes_of_a_step = [&] {
      member.trainer->step(member.batch, 0);
      return std::exchange(pass, 0);
    };
    member.base->between_layers = [&] { ++pass; };
    const int64_t passes = passes_of_a_step();
    EXPECT_EQ(finished_beside(group), 2);  // a layer each
    member.base->between_layers = [&] {
      if (++pass < passes) return;
      for (int look = 0; look < 5000 && finished_beside(group) < 3; ++look)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      seen = finished_beside(group);
    };
    passes_of_a_step();
    EXPECT_EQ(seen, 3);
  });
}

TEST(EarlySums, OfARankThatFailsAreWaitedForByNobody) {
  std::mutex mutex;
  const TokenTask task = fake_task();
  for (const int64_t fails_in : {0, 1}) {  // of its passes
    std::vector<std::string> messages(2);
    EXPECT_ANY_THROW(run_as_threads(2, 60, [&](Communicator& group) {
      Member member = make_member(group, task, mutex);
      int64_t pass = 0;
      member.base->between_layers = [&] {
        if (group.rank() == 1 && pass++ == fails_in) throw std::runtime_error("broken");
      };
      try {
        member.trainer->step(member.batch, 0);
      } catch (const std::exception& error) {
        messages[static_cast<size_t>(group.rank())] = error.what();
        throw;
      }
    }));
    EXPECT_EQ(messages[1], "broken");
    EXPECT_NE(messages[0].find("rank 1 of the group failed in this step"), std::string::npos) << messages[0];
  }
}

TEST(EarlySums, GoAgainWhereMemoryEndedOnOneRank) {
  std::mutex mutex;
  const TokenTask task = fake_task();
  run_as_threads(2, 10, [&](Communicator& group) {
    Member member = make_member(group, task, mutex), whole = make_member(group, task, mutex);
    bool ended = false;
    member.base->between_layers = [&] {
      if (group.rank() == 1 && !std::exchange(ended, true)) throw std::bad_alloc();
    };
    member.trainer->step(member.batch, 0.1);
    whole.trainer->step(whole.batch, 0.1);
    EXPECT_TRUE(member.trainer->reduced());
    EXPECT_TRUE(at::allclose(member.adapter->values(), whole.adapter->values(), 1e-4, 1e-6));
  });
}

}  // namespace
}  // namespace gaggle
