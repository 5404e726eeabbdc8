// What the bench works on: the config's base, a batch of random tokens of the config's shape, random adapters. All
// drawn by key, the same in every run.
#pragma once

#include <string_view>
#include <vector>

#include "adapter/routed.h"
#include "bench/measure.h"
#include "config/config.h"
#include "model/base_model.h"
#include "train/batch.h"

namespace gaggle {

struct BenchSubject {
  BenchSubject(const Config& config, BaseModel& base);

  const Config& config;
  BaseModel& base;
  std::vector<TokenExample> examples;  // as many as fill a micro-batch, train.batch_size at most
  std::vector<Sample> samples, mixed;  // the same of one task, and of several
  int64_t tasks = 1;                   // of `mixed`
  Microbatch batch, mixed_batch;
  Microbatch long_row;         // one row of as many tokens
  std::vector<LoraSite> lora;  // [lora]'s sites, and of these one of each kind and side
  std::vector<LoraSite> layer;

  int64_t tokens(const Site& site) const { return batch.side(site.side).count(); }
  double element() const { return static_cast<double>(at::elementSize(base.dtype())); }  // bytes
  at::TensorOptions activations() const { return at::TensorOptions().dtype(base.dtype()).device(base.device()); }
};

// Random values ~ N(0, std²) under a purpose and a number, of the base's device: of a few megabytes that are drawn once
// and read from another place each time, since billions of them are asked for.
at::Tensor random_values(at::IntArrayRef shape, const at::TensorOptions& options, std::string_view purpose,
                         uint64_t number, double std);

// N random experts with gates on these sites; elsewhere there are none.
RoutedCollection random_collection(const BenchSubject& subject, const std::vector<LoraSite>& sites, int64_t experts);

// Of a pass over the base without an adapter: forward alone, or forward and backward.
BenchWork forward_work(const BenchSubject& subject, const Microbatch& batch);
BenchWork training_work(const BenchSubject& subject, const Microbatch& batch);
// What k of N experts add to a forward pass at one site: scores by N directions, and the pairs that were taken.
BenchWork score_work(const BenchSubject& subject, const Site& site, int64_t experts);
BenchWork pairs_work(const BenchSubject& subject, const LoraSite& site, int64_t experts, int64_t k);

}  // namespace gaggle
