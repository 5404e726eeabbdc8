// The order of examples and the micro-batches: every example once an epoch, every sample once, whatever the
// lanes.
#include "data/sampler.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/philox.h"
#include "fixtures.h"

namespace gaggle {
namespace {

TEST(ExampleSampler, EveryExampleOnceAnEpoch) {
  ExampleSampler sampler(7, "tomi", 13);
  std::set<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    std::vector<int64_t> order;
    for (int64_t i = 0; i < 13; ++i) order.push_back(sampler.example(epoch * 13 + i));
    orders.insert(order);
    std::sort(order.begin(), order.end());
    std::vector<int64_t> all(13);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(order, all);
  }
  EXPECT_EQ(orders.size(), 4u) << "another order every epoch";
}

TEST(ExampleSampler, APureFunctionOfSeedTaskAndIndex) {
  ExampleSampler forward(7, "tomi", 50), again(7, "tomi", 50), other_task(7, "tom", 50), other_seed(8, "tomi", 50);
  int differs_task = 0, differs_seed = 0;
  std::vector<int64_t> first;
  for (int64_t i = 0; i < 200; ++i) first.push_back(forward.example(i));
  for (int64_t i = 199; i >= 0; --i)
    EXPECT_EQ(again.example((i * 77) % 200), first[static_cast<size_t>((i * 77) % 200)]);
  for (int64_t i = 0; i < 200; ++i) {
    differs_task += other_task.example(i) != first[static_cast<size_t>(i)];
    differs_seed += other_seed.example(i) != first[static_cast<size_t>(i)];
  }
  EXPECT_GT(differs_task, 150);
  EXPECT_GT(differs_seed, 150);
}

// Examples of random lengths; every id tells its example and place: example·1000 + place.
struct Batch {
  std::vector<TokenExample> examples;
  std::vector<Sample> samples;
  std::vector<float> weights;
};

Batch random_batch(uint64_t seed, int n, int tasks) {
  Batch batch;
  const uint64_t key = random_key("test", {seed});
  uint64_t draw = 0;
  const auto pick = [&](uint64_t below) { return random_bits(key, draw++) % below; };
  for (int i = 0; i < n; ++i) {
    TokenExample example;
    const uint64_t inputs = 1 + pick(12), targets = 1 + pick(5);
    for (uint64_t j = 0; j < inputs + targets; ++j)
      (j < inputs ? example.input : example.target).push_back(i * 1000 + static_cast<int32_t>(j));
    batch.examples.push_back(example);
  }
  for (int i = 0; i < n; ++i) {
    batch.samples.push_back(
        {100 + i, static_cast<int>(pick(static_cast<uint64_t>(tasks))), &batch.examples[static_cast<size_t>(i)]});
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
    for (const Microbatch& microbatch : microbatches) {
      ASSERT_EQ(microbatch.decoder.positions.size(), microbatch.decoder.ids.size());
      ASSERT_EQ(microbatch.decoder.starts.front(), 0);
      ASSERT_EQ(microbatch.decoder.starts.back(), microbatch.decoder.count());
      EXPECT_TRUE(microbatch.decoder.sequences() == 1 || microbatch.decoder.count() <= 30);
      size_t shortest = 1000, longest = 0, target = 0;
      std::vector<std::tuple<int, int64_t, int64_t>> inside;
      for (int64_t s = 0; s < microbatch.decoder.sequences(); ++s) {
        const int64_t begin = microbatch.decoder.starts[static_cast<size_t>(s)],
                      end = microbatch.decoder.starts[static_cast<size_t>(s) + 1];
        const int32_t id = microbatch.decoder.ids[static_cast<size_t>(begin)] / 1000;
        const TokenExample& example = batch.examples[static_cast<size_t>(id)];
        const Sample& sample = batch.samples[static_cast<size_t>(id)];
        ++seen[id];
        ASSERT_EQ(end - begin, static_cast<int64_t>(example.input.size() + example.target.size()) - 1);
        for (int64_t t = begin; t < end; ++t) {
          EXPECT_EQ(microbatch.decoder.ids[static_cast<size_t>(t)], id * 1000 + (t - begin));
          EXPECT_EQ(microbatch.decoder.positions[static_cast<size_t>(t)], t - begin);
        }
        // Each target token is asked of the token before it.
        for (const int32_t wanted : example.target) {
          ASSERT_LT(target, microbatch.scored_tokens.size());
          EXPECT_EQ(microbatch.target_ids[target], wanted);
          EXPECT_EQ(microbatch.decoder.ids[static_cast<size_t>(microbatch.scored_tokens[target])], wanted - 1);
          EXPECT_EQ(microbatch.target_weights[target], static_cast<float>(id + 1));
          ++target;
        }
        const auto segment = std::find_if(microbatch.decoder.segments.begin(), microbatch.decoder.segments.end(),
                                          [&](const Segment& g) { return g.begin <= begin && end <= g.end; });
        ASSERT_NE(segment, microbatch.decoder.segments.end());
        EXPECT_EQ(segment->member, sample.task);
        inside.emplace_back(sample.task, end - begin, sample.global_index);
        shortest = std::min(shortest, static_cast<size_t>(end - begin));
        longest = std::max(longest, static_cast<size_t>(end - begin));
      }
      EXPECT_EQ(target, microbatch.scored_tokens.size());
      EXPECT_TRUE(std::is_sorted(inside.begin(), inside.end())) << "(task, length, global index)";
      EXPECT_LE(longest_before, shortest) << "cut from the order of lengths";
      longest_before = longest;
      int64_t covered = 0;
      for (const Segment& segment : microbatch.decoder.segments) {
        EXPECT_EQ(segment.begin, covered);
        covered = segment.end;
      }
      EXPECT_EQ(covered, microbatch.decoder.count());
      std::set<int> members;
      for (const Segment& segment : microbatch.decoder.segments) EXPECT_TRUE(members.insert(segment.member).second);
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
    EXPECT_EQ(first[i].decoder.ids, second[i].decoder.ids);
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
      const Microbatch& microbatch = microbatches[m];
      EXPECT_TRUE(microbatch.choices.empty());
      ASSERT_EQ(static_cast<int64_t>(microbatch.decoder.samples.size()), microbatch.decoder.sequences());
      // The same samples as without occurrences: halves change the order, not the cut.
      auto samples = microbatch.decoder.samples, before = plain[m].decoder.samples;
      std::sort(samples.begin(), samples.end());
      std::sort(before.begin(), before.end());
      EXPECT_EQ(samples, before);
      std::vector<bool> even(static_cast<size_t>(microbatch.decoder.count()), false);
      for (const Segment& half : microbatch.decoder.even) {
        const auto whole = std::find_if(microbatch.decoder.segments.begin(), microbatch.decoder.segments.end(),
                                        [&](const Segment& g) { return g.member == half.member; });
        ASSERT_NE(whole, microbatch.decoder.segments.end());
        EXPECT_EQ(half.begin, whole->begin);
        EXPECT_LE(half.end, whole->end);
        EXPECT_LT(half.begin, half.end) << "none that is empty";
        for (int64_t t = half.begin; t < half.end; ++t) even[static_cast<size_t>(t)] = true;
      }
      std::vector<std::tuple<int, int64_t, int64_t, int64_t>> inside;
      for (size_t s = 0; s < microbatch.decoder.samples.size(); ++s) {
        const Sample& sample = *sample_of.at(microbatch.decoder.samples[s]);
        const int64_t begin = microbatch.decoder.starts[s], end = microbatch.decoder.starts[s + 1];
        EXPECT_EQ(microbatch.decoder.lengths.at(s), end - begin + 1) << "its last target is not fed";
        EXPECT_EQ(microbatch.decoder.ids[static_cast<size_t>(begin)], sample.example->input[0]);
        for (int64_t t = begin; t < end; ++t) EXPECT_EQ(even[static_cast<size_t>(t)], sample.occurrence % 2 == 0);
        inside.emplace_back(sample.task, sample.occurrence % 2, end - begin, sample.global_index);
      }
      EXPECT_TRUE(std::is_sorted(inside.begin(), inside.end())) << "(task, parity, length, global index)";
      // Without occurrences every sample is an even one.
      ASSERT_EQ(plain[m].decoder.even.size(), plain[m].decoder.segments.size());
      for (size_t g = 0; g < plain[m].decoder.even.size(); ++g)
        EXPECT_EQ(std::pair(plain[m].decoder.even[g].begin, plain[m].decoder.even[g].end),
                  std::pair(plain[m].decoder.segments[g].begin, plain[m].decoder.segments[g].end));
    }
  }
}

// Every third example has no choices; the others 1 to 3 wrong ones, their ids from 500 on.
void give_choices(Batch& batch) {
  for (size_t i = 0; i < batch.examples.size(); ++i) {
    TokenExample& example = batch.examples[i];
    if (i % 3 == 2) continue;
    const size_t n = 2 + i % 3 + i % 2;
    example.answer = static_cast<int32_t>(i % n);
    for (size_t c = 0; c < n; ++c)
      example.choices.push_back(static_cast<int32_t>(c) == example.answer
                                    ? example.target
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
    for (const Microbatch& microbatch : make_microbatches(batch.samples, budget, batch.weights, true)) {
      ASSERT_EQ(static_cast<int64_t>(microbatch.choices.size()), microbatch.decoder.sequences());
      ASSERT_EQ(static_cast<int64_t>(microbatch.decoder.samples.size()), microbatch.decoder.sequences());
      std::vector<std::tuple<int, int64_t, int64_t, int64_t>> inside;
      size_t target = 0;
      for (size_t s = 0; s < microbatch.choices.size();) {
        const auto number = static_cast<size_t>(microbatch.decoder.samples[s] - 100);
        const TokenExample& example = batch.examples[number];
        ++seen[microbatch.decoder.samples[s]];
        std::vector<std::vector<int32_t>> wanted = {example.target};
        for (size_t c = 0; c < example.choices.size(); ++c)
          if (static_cast<int32_t>(c) != example.answer) wanted.push_back(example.choices[c]);
        const int64_t begin = microbatch.decoder.starts[s];
        for (size_t c = 0; c < wanted.size(); ++c, ++s) {
          ASSERT_LT(s, microbatch.choices.size());
          EXPECT_EQ(microbatch.choices[s], static_cast<int32_t>(c));
          EXPECT_EQ(microbatch.decoder.samples[s], static_cast<int64_t>(100 + number));
          std::vector<int32_t> fed = example.input;
          fed.insert(fed.end(), wanted[c].begin(), wanted[c].end() - 1);
          EXPECT_TRUE(std::equal(microbatch.decoder.ids.begin() + microbatch.decoder.starts[s],
                                 microbatch.decoder.ids.begin() + microbatch.decoder.starts[s + 1], fed.begin(),
                                 fed.end()));
          EXPECT_EQ(microbatch.decoder.positions[static_cast<size_t>(microbatch.decoder.starts[s])], 0);
          for (size_t i = 0; i < wanted[c].size(); ++i, ++target) {
            ASSERT_LT(target, microbatch.target_ids.size());
            EXPECT_EQ(microbatch.target_ids[target], wanted[c][i]);
            EXPECT_EQ(microbatch.scored_tokens[target],
                      microbatch.decoder.starts[s] + static_cast<int64_t>(example.input.size() + i) - 1);
            EXPECT_EQ(microbatch.target_weights[target], batch.weights[number]);
          }
        }
        const Sample& sample = batch.samples[number];
        inside.emplace_back(sample.task, sample.occurrence % 2, microbatch.decoder.starts[s] - begin,
                            sample.global_index);
      }
      EXPECT_EQ(target, microbatch.target_ids.size());
      EXPECT_TRUE(std::is_sorted(inside.begin(), inside.end()));
      EXPECT_TRUE(microbatch.decoder.count() <= budget || inside.size() == 1) << "the budget counts every choice";
      int64_t longest = 0;
      for (const auto& [task, odd, length, index] : inside) {
        EXPECT_LE(longest_before, length) << "cut from the order of lengths";
        longest = std::max(longest, length);
      }
      longest_before = longest;
      std::set<int> members;
      for (const Segment& segment : microbatch.decoder.segments) EXPECT_TRUE(members.insert(segment.member).second);
    }
    EXPECT_EQ(seen.size(), 40u);
    for (const auto& [index, times] : seen) EXPECT_EQ(times, 1);
  }
}

// What an encoder reads of a sample is one sequence for all its choices, its segments those of the tasks.
TEST(Microbatches, SourcesAreTokensOfTheEncoder) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Batch batch = random_batch(seed, 40, 3);
    count_occurrences(batch);
    give_choices(batch);
    for (size_t i = 0; i < batch.examples.size(); ++i) {
      batch.examples[i].source.assign(1 + i % 9, static_cast<int32_t>(i));
      batch.examples[i].input = {0};
    }
    const int64_t budget = 60;
    for (const Microbatch& microbatch : make_microbatches(batch.samples, budget, batch.weights, true)) {
      ASSERT_EQ(static_cast<int64_t>(microbatch.sources.size()), microbatch.decoder.sequences());
      EXPECT_TRUE(microbatch.token_count() <= budget || microbatch.encoder.sequences() == 1)
          << "the budget counts sources";
      for (size_t s = 0; s < microbatch.sources.size(); ++s) {
        const auto e = static_cast<size_t>(microbatch.sources[s]);
        const auto number = static_cast<size_t>(microbatch.decoder.samples[s] - 100);
        EXPECT_EQ(microbatch.encoder.samples[e], microbatch.decoder.samples[s]);
        EXPECT_EQ(e,
                  s == 0 ? 0 : static_cast<size_t>(microbatch.sources[s - 1]) + (microbatch.choices[s] == 0 ? 1 : 0));
        const std::vector<int32_t> read(microbatch.encoder.ids.begin() + microbatch.encoder.starts[e],
                                        microbatch.encoder.ids.begin() + microbatch.encoder.starts[e + 1]);
        EXPECT_EQ(read, batch.examples[number].source);
        EXPECT_EQ(microbatch.encoder.positions[static_cast<size_t>(microbatch.encoder.starts[e + 1]) - 1],
                  static_cast<int32_t>(read.size()) - 1);
      }
      EXPECT_EQ(microbatch.sources.back() + 1, microbatch.encoder.sequences());
      ASSERT_EQ(microbatch.encoder.segments.size(), microbatch.decoder.segments.size());
      ASSERT_EQ(microbatch.encoder.even.size(), microbatch.decoder.even.size());
      const auto samples_in = [](const TokenSequences& set, const Segment& segment) {
        std::set<int64_t> samples;
        for (size_t s = 0; s < set.samples.size(); ++s)
          if (set.starts[s] >= segment.begin && set.starts[s] < segment.end) samples.insert(set.samples[s]);
        return samples;
      };
      for (size_t g = 0; g < microbatch.decoder.segments.size(); ++g) {
        EXPECT_EQ(microbatch.encoder.segments[g].member, microbatch.decoder.segments[g].member);
        EXPECT_EQ(samples_in(microbatch.encoder, microbatch.encoder.segments[g]),
                  samples_in(microbatch.decoder, microbatch.decoder.segments[g]));
      }
      for (size_t g = 0; g < microbatch.decoder.even.size(); ++g)
        EXPECT_EQ(samples_in(microbatch.encoder, microbatch.encoder.even[g]),
                  samples_in(microbatch.decoder, microbatch.decoder.even[g]));
      EXPECT_EQ(microbatch.encoder.segments.back().end, microbatch.encoder.count());
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

TEST(Microbatches, ALaneWithoutSamplesHasNone) { EXPECT_TRUE(make_microbatches({}, 10, {}).empty()); }

TEST(Microbatches, ASampleLongerThanTheBudgetStandsAlone) {
  const Batch batch = random_batch(2, 6, 1);
  EXPECT_EQ(make_microbatches(batch.samples, 1, batch.weights).size(), 6u);
}

}  // namespace
}  // namespace gaggle
