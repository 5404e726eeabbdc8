// A bf16 Llama of any depth, micro-batches of short rows, and what a second pass of them asks of a GPU.
#pragma once

#include "../../gpu/gpu.h"
#include "../../model/fake_checkpoint.h"
#include "../fake_gpu.h"
#include "adapter/trainable.h"

namespace gaggle {

using fake_gpu::Counts;

struct Deep final : ModelCheckpoint {
  explicit Deep(int64_t layers) {
    spec_ = FakeCheckpoint().spec();
    spec_.layers = layers;
    path_ = "deep";
    weights_ = expected_weights(spec_);
  }
  void read(const std::string& name, std::span<const int64_t> shape, std::span<float> values) const override {
    fill_random(name, shape, values);
  }
};

// `count` rows, dealt out to so many tasks.
inline Microbatch rows(int64_t count, int tasks = 1) {
  Microbatch batch;
  batch.decoder.starts.push_back(0);
  for (int64_t s = 0; s < count; ++s) {
    const int64_t length = 3 + 5 * s % 11, begin = batch.decoder.count();
    for (int64_t i = 0; i < length; ++i) {
      batch.decoder.ids.push_back(static_cast<int32_t>((7 * i + 13 * s) % 90));
      batch.decoder.positions.push_back(static_cast<int32_t>(i));
    }
    batch.decoder.starts.push_back(batch.decoder.count());
    batch.decoder.samples.push_back(s);
    batch.scored_tokens.push_back(batch.decoder.count() - 1);
    batch.target_ids.push_back(static_cast<int32_t>(s % 90));
    batch.target_weights.push_back(1);
    const int task = static_cast<int>(s * tasks / count);
    if (batch.decoder.segments.empty() || batch.decoder.segments.back().member != task)
      batch.decoder.segments.push_back({task, begin, begin});
    batch.decoder.segments.back().end = batch.decoder.count();
  }
  return batch;
}

// Of the second time: what is made once is there.
template <class Pass>
Counts second_time(const Pass& pass) {
  pass();
  fake_gpu::take_list_of_operators();
  const Counts before = fake_gpu::counted();
  pass();
  return fake_gpu::counted() - before;
}

}  // namespace gaggle
