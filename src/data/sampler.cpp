#include "data/sampler.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "base/philox.h"

namespace gaggle {
namespace {

struct Member {
  const Sample* sample = nullptr;
  std::vector<const std::vector<int32_t>*> targets;  // one sequence each: the output, then the wrong choices
  int64_t length = 0;                                // tokens of all of them
  float weight = 0;
  int64_t odd() const { return sample->occurrence % 2; }
};

Member make_member(const Sample& sample, float weight, bool with_choices) {
  const TokenExample& example = *sample.example;
  Member member{&sample, {&example.target}, 0, weight};
  for (size_t i = 0; with_choices && i < example.choices.size(); ++i)
    if (static_cast<int64_t>(i) != example.answer) member.targets.push_back(&example.choices[i]);
  for (const auto* target : member.targets) {
    GAGGLE_CHECK(!example.input.empty() && !target->empty(), "example {}", example.id);
    member.length += static_cast<int64_t>(example.input.size() + target->size()) - 1;
  }
  member.length += static_cast<int64_t>(example.source.size());
  return member;
}

void append_output(Microbatch& batch, const Member& member, const std::vector<int32_t>& target) {
  const std::vector<int32_t>& input = member.sample->example->input;
  const int64_t begin = batch.decoder.count();
  append_sequence(batch.decoder, input);
  extend_sequence(batch.decoder, std::span(target).first(target.size() - 1));
  batch.decoder.lengths.push_back(static_cast<int64_t>(input.size() + target.size()));
  batch.decoder.samples.push_back(member.sample->global_index);
  if (batch.encoder.sequences() > 0) batch.sources.push_back(batch.encoder.sequences() - 1);
  const int64_t first = begin + static_cast<int64_t>(input.size()) - 1;
  for (size_t i = 0; i < target.size(); ++i) {
    batch.scored_tokens.push_back(first + static_cast<int64_t>(i));
    batch.target_ids.push_back(target[i]);
    batch.target_weights.push_back(member.weight);
  }
}

// The last segment goes on, or one of this task begins.
void extend(std::vector<Segment>& segments, int task, int64_t begin, int64_t end) {
  if (segments.empty() || segments.back().member != task) segments.push_back({task, begin, begin});
  segments.back().end = end;
}

void append(Microbatch& batch, const Member& member, bool with_choices) {
  const int64_t begin = batch.decoder.count(), encoder_begin = batch.encoder.count();
  const std::vector<int32_t>& source = member.sample->example->source;
  if (!source.empty()) {
    append_sequence(batch.encoder, source);
    batch.encoder.samples.push_back(member.sample->global_index);
  }
  for (size_t choice = 0; choice < member.targets.size(); ++choice) {
    append_output(batch, member, *member.targets[choice]);
    if (with_choices) batch.choices.push_back(static_cast<int32_t>(choice));
  }
  const auto extend_by_task = [&](TokenSequences& set, int64_t first) {
    if (set.count() == first) return;
    extend(set.segments, member.sample->task, first, set.count());
    if (!member.odd()) extend(set.even, member.sample->task, first, set.count());
  };
  extend_by_task(batch.decoder, begin);
  extend_by_task(batch.encoder, encoder_begin);
}

}  // namespace

ExampleSampler::ExampleSampler(uint64_t seed, std::string_view task, int64_t n)
    : seed_(seed), task_(name_number(task)), n_(n) {
  GAGGLE_CHECK(n > 0, "a task without examples has no order");
}

int64_t ExampleSampler::example(int64_t global_index) {
  const int64_t epoch = global_index / n_;
  if (epoch != epoch_) {
    order_ = random_permutation(random_key("order", {seed_, static_cast<uint64_t>(epoch), task_}), n_);
    epoch_ = epoch;
  }
  return order_[static_cast<size_t>(global_index % n_)];
}

std::span<const Sample> lane_samples(std::span<const Sample> batch, int64_t lane, int64_t lanes) {
  GAGGLE_CHECK(lane >= 0 && lane < lanes, "lane {} of {}", lane, lanes);
  const auto n = static_cast<int64_t>(batch.size());
  const int64_t begin = lane * n / lanes, end = (lane + 1) * n / lanes;
  return batch.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

std::vector<Microbatch> make_microbatches(std::span<const Sample> lane, int64_t token_budget,
                                          const std::vector<float>& weight_by_position_in_lane, bool with_choices) {
  GAGGLE_CHECK(weight_by_position_in_lane.size() == lane.size(), "one weight per sample");
  std::vector<Member> members;
  for (size_t i = 0; i < lane.size(); ++i)
    members.push_back(make_member(lane[i], weight_by_position_in_lane[i], with_choices));
  const auto by_length = [](const Member& a, const Member& b) {
    return std::tuple(a.length, a.sample->global_index, a.sample->task) <
           std::tuple(b.length, b.sample->global_index, b.sample->task);
  };
  const auto by_task = [](const Member& a, const Member& b) {
    return std::tuple(a.sample->task, a.odd(), a.length, a.sample->global_index) <
           std::tuple(b.sample->task, b.odd(), b.length, b.sample->global_index);
  };
  std::sort(members.begin(), members.end(), by_length);
  std::vector<Microbatch> batches;
  for (size_t begin = 0; begin < members.size();) {
    size_t end = begin;
    for (int64_t taken = 0; end < members.size(); ++end) {
      taken += members[end].length;
      if (end > begin && taken > token_budget) break;
    }
    std::sort(members.begin() + static_cast<std::ptrdiff_t>(begin), members.begin() + static_cast<std::ptrdiff_t>(end),
              by_task);
    Microbatch& batch = batches.emplace_back();
    for (; begin < end; ++begin) append(batch, members[begin], with_choices);
  }
  return batches;
}

}  // namespace gaggle
