// Batches of several tasks, inventories with random values, and what tests ask of a pass over them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>

#include "../model/fake_checkpoint.h"
#include "adapter/poly_adapter.h"
#include "base/philox.h"
#include "kernel/mixing_weights.h"

namespace gaggle::test {

// A sequence of some task; the rows of a batch are its sequences, given by (task, even first).
struct Sequence {
  int task = 0;
  int64_t sample = 0;
  bool even = true;
  int length = 1;
};

inline std::unique_ptr<ModelCheckpoint> fake(bool t5) {
  if (t5) return std::make_unique<FakeT5>();
  return std::make_unique<FakeCheckpoint>();
}

// The second half of every sequence is scored; an encoder reads five tokens more than there are in it.
inline Microbatch batch_of(const std::vector<Sequence>& sequences, bool encoder = false) {
  Microbatch batch;
  batch.decoder.starts.push_back(0);
  const auto extend = [](std::vector<Segment>& segments, int task, int64_t begin, int64_t end) {
    if (segments.empty() || segments.back().member != task) segments.push_back({task, begin, begin});
    segments.back().end = end;
  };
  for (const Sequence& s : sequences) {
    const int64_t begin = batch.decoder.count();
    for (int i = 0; i < s.length; ++i) {
      batch.decoder.ids.push_back(static_cast<int32_t>((7 * i + 13 * s.sample + 5) % 90));
      batch.decoder.positions.push_back(i);
      if (i < s.length / 2) continue;
      batch.scored_tokens.push_back(batch.decoder.count() - 1);
      batch.target_ids.push_back(static_cast<int32_t>((3 * i + 17 * s.sample) % 90));
      batch.target_weights.push_back(0.05f * static_cast<float>(1 + i % 3));
    }
    batch.decoder.starts.push_back(batch.decoder.count());
    batch.decoder.samples.push_back(s.sample);
    extend(batch.decoder.segments, s.task, begin, batch.decoder.count());
    if (s.even) extend(batch.decoder.even, s.task, begin, batch.decoder.count());
    if (!encoder) continue;
    TokenSequences& source = batch.encoder;
    const int64_t source_begin = source.count();
    if (source.starts.empty()) source.starts.push_back(0);
    for (int i = 0; i < s.length + 5; ++i) {
      source.ids.push_back(static_cast<int32_t>((5 * i + 11 * s.sample + 2) % 90));
      source.positions.push_back(i);
    }
    source.starts.push_back(source.count());
    source.samples.push_back(s.sample);
    batch.sources.push_back(source.sequences() - 1);
    extend(source.segments, s.task, source_begin, source.count());
    if (s.even) extend(source.even, s.task, source_begin, source.count());
  }
  return batch;
}

// Two micro-batches of the tasks 0, 1 and 2: a task in both, one in the first alone, one without an even sample
// in the second. `flipped`: even samples are odd ones.
inline std::vector<Microbatch> two_batches(bool long_sequences, bool flipped = false, bool encoder = false) {
  const auto batch = [&](std::vector<Sequence> sequences) {
    for (Sequence& s : sequences) s.even = s.even != flipped, s.length += long_sequences ? 14 : 0;
    std::stable_sort(sequences.begin(), sequences.end(), [](const Sequence& x, const Sequence& y) {
      return std::pair(x.task, !x.even) < std::pair(y.task, !y.even);
    });
    return batch_of(sequences, encoder);
  };
  return {batch({{0, 4, true, 3}, {0, 7, false, 5}, {1, 2, true, 4}, {2, 0, true, 6}, {2, 5, false, 2}}),
          batch({{0, 9, true, 4}, {0, 3, false, 3}, {2, 8, false, 7}})};
}

inline PolySpec poly_spec_of(const BaseModel& base, int64_t heads, int64_t skills, int64_t tasks = 3) {
  PolySpec spec;
  spec.sites = lora_sites(base.sites(), {}, 2, 1);
  spec.heads = heads, spec.skills = skills, spec.tasks = tasks;
  return spec;
}

// Skills of 0.1, logits of 1: far from where training starts.
inline at::Tensor random_poly(const PolySpec& spec) {
  const ParameterLayout layout = poly_layout(spec);
  at::Tensor values = at::empty({layout.size()}, at::kFloat);
  for (const ParameterInfo& t : layout.tensors())
    fill_normal(name_number(t.name), is_router(t) ? 1 : 0.1,
                {values.data_ptr<float>() + t.offset, static_cast<size_t>(t.count)});
  return values;
}

// Σ weight · nll of the batches, written out.
inline double loss_of(BaseModel& base, SiteAdapter& adapter, const std::vector<Microbatch>& batches) {
  double sum = 0;
  for (const Microbatch& batch : batches) {
    const at::Tensor hidden = base.forward(batch, &adapter, nullptr);
    const at::Tensor logp = at::log_softmax(base.logits(hidden, batch.scored_tokens).to(at::kDouble), 1);
    for (size_t i = 0; i < batch.target_ids.size(); ++i)
      sum -= static_cast<double>(batch.target_weights[i]) *
             logp[static_cast<int64_t>(i)][batch.target_ids[i]].item<double>();
  }
  return sum;
}

// The gradient of the batches as of one lane.
inline at::Tensor gradient_of(BaseModel& base, Trainable& adapter, const std::vector<Microbatch>& batches) {
  const at::Tensor flat = at::zeros({adapter.layout().size()}, adapter.values().options());
  adapter.set_gradients(flat);
  for (const Microbatch& batch : batches) base.forward_backward(batch, adapter);
  adapter.finish_gradients();
  adapter.set_gradients({});
  return flat;
}

// Of every tensor along a drawn direction, with fp64 values; none of them may vanish.
inline void expect_finite_differences(BaseModel& base, SkillAdapter& adapter, const std::vector<Microbatch>& batches) {
  const at::Tensor gradient = gradient_of(base, adapter, batches);
  for (const ParameterInfo& t : adapter.layout().tensors()) {
    at::Tensor values = adapter.layout().view(adapter.values(), t);
    at::Tensor draw = at::empty({t.count}, at::kFloat);
    fill_normal(name_number(t.name) + 1, 1, {draw.data_ptr<float>(), static_cast<size_t>(t.count)});
    const at::Tensor direction = draw.to(at::kDouble).view(t.shape);
    const auto at_distance = [&](double h) {
      const at::Tensor kept = values.clone();
      values.add_(direction, h);
      adapter.refresh();
      const double loss = loss_of(base, adapter, batches);
      values.copy_(kept);
      adapter.refresh();
      return loss;
    };
    const double h = 1e-5, expected = (adapter.layout().view(gradient, t) * direction).sum().item<double>();
    const double limit = base.spec().encoder_decoder() ? 1e-6 : 1e-7;  // T5's scores are steeper
    EXPECT_NEAR((at_distance(h) - at_distance(-h)) / (2 * h), expected, limit * (1 + std::abs(expected))) << t.name;
    EXPECT_GT(std::abs(expected), 1e-7) << t.name;
  }
}

inline double apart(const at::Tensor& ours, const at::Tensor& exact) {
  const at::Tensor e = exact.to(at::kDouble);
  return ((ours.to(at::kDouble) - e).norm() / (e.norm() + 1e-30)).item<double>();
}

inline const char* name_of(Sampling sampling) {
  return sampling == Sampling::none ? "none" : sampling == Sampling::task ? "task" : "example";
}

}  // namespace gaggle::test
