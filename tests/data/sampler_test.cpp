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

// occurrence counts within the batch, as a run over several tasks fills it.
void count_occurrences(Batch& batch) {
  std::map<int, int64_t> seen;
  for (Sample& sample : batch.samples) sample.occurrence = seen[sample.task]++;
}

TEST(Microbatches, EvenOccurrencesAreTheFrontOfTheirSegment) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Batch batch = random_batch(seed, 40, 3);
    count_occurrences(batch);
    std::map<int64_t, const Sample*> sample_of;
    for (const Sample& sample : batch.samples) sample_of[sample.global_index] = &sample;
    const auto plain = make_microbatches(random_batch(seed, 40, 3).samples, 30, batch.weights);
    const auto microbatches = make_microbatches(batch.samples, 30, batch.weights);
    ASSERT_EQ(microbatches.size(), plain.size());
    for (size_t m = 0; m < microbatches.size(); ++m) {
      const Rows& rows = microbatches[m];
      EXPECT_TRUE(rows.choices.empty());
      ASSERT_EQ(static_cast<int64_t>(rows.samples.size()), rows.sequences());
      // The same samples as without occurrences: halves change the order, not the cut.
      auto samples = rows.samples, before = plain[m].samples;
      std::sort(samples.begin(), samples.end());
      std::sort(before.begin(), before.end());
      EXPECT_EQ(samples, before);
      std::vector<bool> even(static_cast<size_t>(rows.count()), false);
      for (const Segment& half : rows.even) {
        const auto whole = std::find_if(rows.segments.begin(), rows.segments.end(),
                                        [&](const Segment& g) { return g.member == half.member; });
        ASSERT_NE(whole, rows.segments.end());
        EXPECT_EQ(half.begin, whole->begin);
        EXPECT_LE(half.end, whole->end);
        EXPECT_LT(half.begin, half.end) << "none that is empty";
        for (int64_t t = half.begin; t < half.end; ++t) even[static_cast<size_t>(t)] = true;
      }
      std::vector<std::tuple<int, int64_t, int64_t, int64_t>> inside;
      for (size_t s = 0; s < rows.samples.size(); ++s) {
        const Sample& sample = *sample_of.at(rows.samples[s]);
        const int64_t begin = rows.starts[s], end = rows.starts[s + 1];
        EXPECT_EQ(rows.ids[static_cast<size_t>(begin)], sample.row->input[0]);
        for (int64_t t = begin; t < end; ++t)
          EXPECT_EQ(even[static_cast<size_t>(t)], sample.occurrence % 2 == 0);
        inside.emplace_back(sample.task, sample.occurrence % 2, end - begin, sample.global_index);
      }
      EXPECT_TRUE(std::is_sorted(inside.begin(), inside.end())) << "(task, parity, length, global index)";
      // Without occurrences every sample is an even one.
      ASSERT_EQ(plain[m].even.size(), plain[m].segments.size());
      for (size_t g = 0; g < plain[m].even.size(); ++g)
        EXPECT_EQ(std::pair(plain[m].even[g].begin, plain[m].even[g].end),
                  std::pair(plain[m].segments[g].begin, plain[m].segments[g].end));
    }
  }
}

// Every third row has no choices; the others 1 to 3 wrong ones, their ids from 500 on.
void give_choices(Batch& batch) {
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    TokenRow& row = batch.rows[i];
    if (i % 3 == 2) continue;
    const size_t n = 2 + i % 3 + i % 2;
    row.answer = static_cast<int32_t>(i % n);
    for (size_t c = 0; c < n; ++c)
      row.choices.push_back(static_cast<int32_t>(c) == row.answer
                                ? row.target
                                : std::vector<int32_t>(1 + c, static_cast<int32_t>(i * 1000 + 500 + c)));
  }
}

TEST(Microbatches, ChoicesLieBesideTheOutputOfTheirSample) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Batch batch = random_batch(seed, 40, 3);
    count_occurrences(batch);
    give_choices(batch);
    const int64_t budget = 60;
    int64_t longest_before = 0;
    std::map<int64_t, int> seen;
    for (const Rows& rows : make_microbatches(batch.samples, budget, batch.weights, true)) {
      ASSERT_EQ(static_cast<int64_t>(rows.choices.size()), rows.sequences());
      ASSERT_EQ(static_cast<int64_t>(rows.samples.size()), rows.sequences());
      std::vector<std::tuple<int, int64_t, int64_t, int64_t>> inside;
      size_t target = 0;
      for (size_t s = 0; s < rows.choices.size();) {
        const auto number = static_cast<size_t>(rows.samples[s] - 100);
        const TokenRow& row = batch.rows[number];
        ++seen[rows.samples[s]];
        std::vector<std::vector<int32_t>> wanted = {row.target};
        for (size_t c = 0; c < row.choices.size(); ++c)
          if (static_cast<int32_t>(c) != row.answer) wanted.push_back(row.choices[c]);
        const int64_t begin = rows.starts[s];
        for (size_t c = 0; c < wanted.size(); ++c, ++s) {
          ASSERT_LT(s, rows.choices.size());
          EXPECT_EQ(rows.choices[s], static_cast<int32_t>(c));
          EXPECT_EQ(rows.samples[s], static_cast<int64_t>(100 + number));
          std::vector<int32_t> fed = row.input;
          fed.insert(fed.end(), wanted[c].begin(), wanted[c].end() - 1);
          EXPECT_TRUE(std::equal(rows.ids.begin() + rows.starts[s], rows.ids.begin() + rows.starts[s + 1],
                                 fed.begin(), fed.end()));
          EXPECT_EQ(rows.positions[static_cast<size_t>(rows.starts[s])], 0);
          for (size_t i = 0; i < wanted[c].size(); ++i, ++target) {
            ASSERT_LT(target, rows.target_ids.size());
            EXPECT_EQ(rows.target_ids[target], wanted[c][i]);
            EXPECT_EQ(rows.target_rows[target],
                      rows.starts[s] + static_cast<int64_t>(row.input.size() + i) - 1);
            EXPECT_EQ(rows.target_weights[target], batch.weights[number]);
          }
        }
        const Sample& sample = batch.samples[number];
        inside.emplace_back(sample.task, sample.occurrence % 2, rows.starts[s] - begin, sample.global_index);
      }
      EXPECT_EQ(target, rows.target_ids.size());
      EXPECT_TRUE(std::is_sorted(inside.begin(), inside.end()));
      EXPECT_TRUE(rows.count() <= budget || inside.size() == 1) << "the budget counts every choice";
      int64_t longest = 0;
      for (const auto& [task, odd, length, index] : inside) {
        EXPECT_LE(longest_before, length) << "cut from the order of lengths";
        longest = std::max(longest, length);
      }
      longest_before = longest;
      std::set<int> members;
      for (const Segment& segment : rows.segments) EXPECT_TRUE(members.insert(segment.member).second);
    }
    EXPECT_EQ(seen.size(), 40u);
    for (const auto& [index, times] : seen) EXPECT_EQ(times, 1);
  }
}

// What an encoder reads of a sample is one sequence for all its choices, its segments those of the tasks.
TEST(Microbatches, SourcesAreRowsOfTheEncoder) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Batch batch = random_batch(seed, 40, 3);
    count_occurrences(batch);
    give_choices(batch);
    for (size_t i = 0; i < batch.rows.size(); ++i) {
      batch.rows[i].source.assign(1 + i % 9, static_cast<int32_t>(i));
      batch.rows[i].input = {0};
    }
    const int64_t budget = 60;
    for (const Rows& rows : make_microbatches(batch.samples, budget, batch.weights, true)) {
      ASSERT_EQ(static_cast<int64_t>(rows.sources.size()), rows.sequences());
      EXPECT_TRUE(rows.fed() <= budget || rows.encoder.sequences() == 1) << "the budget counts sources";
      for (size_t s = 0; s < rows.sources.size(); ++s) {
        const auto e = static_cast<size_t>(rows.sources[s]);
        const auto number = static_cast<size_t>(rows.samples[s] - 100);
        EXPECT_EQ(rows.encoder.samples[e], rows.samples[s]);
        EXPECT_EQ(e, s == 0 ? 0 : static_cast<size_t>(rows.sources[s - 1]) + (rows.choices[s] == 0 ? 1 : 0));
        const std::vector<int32_t> read(rows.encoder.ids.begin() + rows.encoder.starts[e],
                                        rows.encoder.ids.begin() + rows.encoder.starts[e + 1]);
        EXPECT_EQ(read, batch.rows[number].source);
        EXPECT_EQ(rows.encoder.positions[static_cast<size_t>(rows.encoder.starts[e + 1]) - 1],
                  static_cast<int32_t>(read.size()) - 1);
      }
      EXPECT_EQ(rows.sources.back() + 1, rows.encoder.sequences());
      ASSERT_EQ(rows.encoder.segments.size(), rows.segments.size());
      ASSERT_EQ(rows.encoder.even.size(), rows.even.size());
      const auto samples_in = [](const RowSet& set, const Segment& segment) {
        std::set<int64_t> samples;
        for (size_t s = 0; s < set.samples.size(); ++s)
          if (set.starts[s] >= segment.begin && set.starts[s] < segment.end) samples.insert(set.samples[s]);
        return samples;
      };
      for (size_t g = 0; g < rows.segments.size(); ++g) {
        EXPECT_EQ(rows.encoder.segments[g].member, rows.segments[g].member);
        EXPECT_EQ(samples_in(rows.encoder, rows.encoder.segments[g]), samples_in(rows, rows.segments[g]));
      }
      for (size_t g = 0; g < rows.even.size(); ++g)
        EXPECT_EQ(samples_in(rows.encoder, rows.encoder.even[g]), samples_in(rows, rows.even[g]));
      EXPECT_EQ(rows.encoder.segments.back().end, rows.encoder.count());
    }
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
