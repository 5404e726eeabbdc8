// The order of rows and the micro-batches: every row once an epoch, every sample once, whatever the lanes.
#include "data/sampler.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/philox.h"
#include "fixtures.h"

namespace gaggle {
namespace {

TEST(RowSampler, EveryRowOnceAnEpoch) {
  RowSampler sampler(7, "tomi", 13);
  std::set<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    std::vector<int64_t> order;
    for (int64_t i = 0; i < 13; ++i) order.push_back(sampler.row(epoch * 13 + i));
    orders.insert(order);
    std::sort(order.begin(), order.end());
    std::vector<int64_t> all(13);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(order, all);
  }
  EXPECT_EQ(orders.size(), 4u) << "another order every epoch";
}

TEST(RowSampler, APureFunctionOfSeedTaskAndIndex) {
  RowSampler forward(7, "tomi", 50), again(7, "tomi", 50), other_task(7, "tom", 50), other_seed(8, "tomi", 50);
  int differs_task = 0, differs_seed = 0;
  std::vector<int64_t> first;
  for (int64_t i = 0; i < 200; ++i) first.push_back(forward.row(i));
  for (int64_t i = 199; i >= 0; --i)
    EXPECT_EQ(again.row((i * 77) % 200), first[static_cast<size_t>((i * 77) % 200)]);
  for (int64_t i = 0; i < 200; ++i) {
    differs_task += other_task.row(i) != first[static_cast<size_t>(i)];
    differs_seed += other_seed.row(i) != first[static_cast<size_t>(i)];
  }
  EXPECT_GT(differs_task, 150);
  EXPECT_GT(differs_seed, 150);
}

// Rows of random lengths; every id tells its row and place: row·1000 + place.
struct Batch {
  std::vector<TokenRow> rows;
  std::vector<Sample> samples;
  std::vector<float> weights;
};

Batch random_batch(uint64_t seed, int n, int tasks) {
  Batch batch;
  const uint64_t key = random_key("test", {seed});
  uint64_t draw = 0;
  const auto pick = [&](uint64_t below) { return random_bits(key, draw++) % below; };
  for (int i = 0; i < n; ++i) {
    TokenRow row;
    const uint64_t inputs = 1 + pick(12), targets = 1 + pick(5);
    for (uint64_t j = 0; j < inputs + targets; ++j)
      (j < inputs ? row.input : row.target).push_back(i * 1000 + static_cast<int32_t>(j));
    batch.rows.push_back(row);
  }
  for (int i = 0; i < n; ++i) {
    batch.samples.push_back(
        {100 + i, static_cast<int>(pick(static_cast<uint64_t>(tasks))), &batch.rows[static_cast<size_t>(i)]});
    batch.weights.push_back(static_cast<float>(i + 1));
  }
  return batch;
}

TEST(Microbatches, CoverEachSampleOnceWithItsTargets) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Batch batch = random_batch(seed, 40, 3);
    const auto microbatches = make_microbatches(batch.samples, 30, batch.weights);
    std::map<int32_t, int> seen;
    size_t longest_before = 0;
    for (const Rows& rows : microbatches) {
      ASSERT_EQ(rows.positions.size(), rows.ids.size());
      ASSERT_EQ(rows.starts.front(), 0);
      ASSERT_EQ(rows.starts.back(), rows.count());
      EXPECT_TRUE(rows.sequences() == 1 || rows.count() <= 30);
      size_t shortest = 1000, longest = 0, target = 0;
      std::vector<std::tuple<int, int64_t, int64_t>> inside;
      for (int64_t s = 0; s < rows.sequences(); ++s) {
        const int64_t begin = rows.starts[static_cast<size_t>(s)],
                      end = rows.starts[static_cast<size_t>(s) + 1];
        const int32_t id = rows.ids[static_cast<size_t>(begin)] / 1000;
        const TokenRow& row = batch.rows[static_cast<size_t>(id)];
        const Sample& sample = batch.samples[static_cast<size_t>(id)];
        ++seen[id];
        ASSERT_EQ(end - begin, static_cast<int64_t>(row.input.size() + row.target.size()) - 1);
        for (int64_t t = begin; t < end; ++t) {
          EXPECT_EQ(rows.ids[static_cast<size_t>(t)], id * 1000 + (t - begin));
          EXPECT_EQ(rows.positions[static_cast<size_t>(t)], t - begin);
        }
        // Each target token is asked of the row that holds the token before it.
        for (const int32_t wanted : row.target) {
          ASSERT_LT(target, rows.target_rows.size());
          EXPECT_EQ(rows.target_ids[target], wanted);
          EXPECT_EQ(rows.ids[static_cast<size_t>(rows.target_rows[target])], wanted - 1);
          EXPECT_EQ(rows.target_weights[target], static_cast<float>(id + 1));
          ++target;
        }
        const auto segment = std::find_if(rows.segments.begin(), rows.segments.end(),
                                          [&](const Segment& g) { return g.begin <= begin && end <= g.end; });
        ASSERT_NE(segment, rows.segments.end());
        EXPECT_EQ(segment->member, sample.task);
        inside.emplace_back(sample.task, end - begin, sample.global_index);
        shortest = std::min(shortest, static_cast<size_t>(end - begin));
        longest = std::max(longest, static_cast<size_t>(end - begin));
      }
      EXPECT_EQ(target, rows.target_rows.size());
      EXPECT_TRUE(std::is_sorted(inside.begin(), inside.end())) << "(task, length, global index)";
      EXPECT_LE(longest_before, shortest) << "cut from the order of lengths";
      longest_before = longest;
      int64_t covered = 0;
      for (const Segment& segment : rows.segments) {
        EXPECT_EQ(segment.begin, covered);
        covered = segment.end;
      }
      EXPECT_EQ(covered, rows.count());
      std::set<int> members;
      for (const Segment& segment : rows.segments) EXPECT_TRUE(members.insert(segment.member).second);
    }
    EXPECT_EQ(seen.size(), 40u);
    for (const auto& [id, times] : seen) EXPECT_EQ(times, 1);
  }
}

TEST(Microbatches, OrderOfArrivalDoesNotMatter) {
  Batch batch = random_batch(3, 25, 2);
  const auto first = make_microbatches(batch.samples, 40, batch.weights);
  std::reverse(batch.samples.begin(), batch.samples.end());
  std::reverse(batch.weights.begin(), batch.weights.end());
  const auto second = make_microbatches(batch.samples, 40, batch.weights);
  ASSERT_EQ(first.size(), second.size());
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].ids, second[i].ids);
    EXPECT_EQ(first[i].target_weights, second[i].target_weights);
  }
}

TEST(Lanes, AreDealtInOrderAndWhole) {
  for (const int n : {0, 1, 7, 32})
    for (const int64_t lanes : {1, 2, 8, 40}) {
      const Batch batch = random_batch(1, n, 1);
      std::vector<int64_t> dealt;
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const auto samples = lane_samples(batch.samples, lane, lanes);
        EXPECT_LE(samples.size(), static_cast<size_t>(n / lanes + 1));
        for (const Sample& sample : samples) dealt.push_back(sample.global_index);
      }
      ASSERT_EQ(dealt.size(), static_cast<size_t>(n));
      for (int i = 0; i < n; ++i) EXPECT_EQ(dealt[static_cast<size_t>(i)], 100 + i);
    }
}

TEST(Microbatches, ALaneWithoutSamplesHasNone) {
  EXPECT_TRUE(make_microbatches({}, 10, {}).empty());
}

TEST(Microbatches, ASampleLongerThanTheBudgetStandsAlone) {
  const Batch batch = random_batch(2, 6, 1);
  EXPECT_EQ(make_microbatches(batch.samples, 1, batch.weights).size(), 6u);
}

}  // namespace
}  // namespace gaggle
