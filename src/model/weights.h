// The tensors of a checkpoint in the types a base computes with.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>

#include "formats/checkpoint.h"
#include "model/stored_weight.h"

namespace gaggle {

// The residual stream is held in fp32 also for bf16 activations: it costs 2 bytes a value and spares a rounding
// per layer (and per gradient), which is what separates bf16 runs from fp32 ones most.
at::ScalarType residual_dtype(at::ScalarType activations);

// By Hugging Face name. Taken out one by one: a packed linear's own tensor is freed before the next is packed.
struct WeightTensors {
  std::map<std::string, FrozenTensor> tensors;
  std::map<std::string, StoredWeight> stored;         // those that stay in few bits
  std::string digest;                                 // of all contents as fp32, whatever they are stored in
  bool quantised = false;                             // some are in fewer bits than the checkpoint has them in
  FrozenTensor take_matrix(const std::string& name);  // undefined: not there
  at::Tensor take(const std::string& name);           // of what is never in parts: norms, biases
};

// All of them, read and digested once; as `dtype`, norms and position biases as the residual stream's. shards (may be
// null): matrices are kept in parts; each is read whole and its part kept, one after the other.
WeightTensors read_weights(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, Storage storage,
                           const std::shared_ptr<WeightShards>& shards);
// Whether shards keep parts of it: matrices, but those of position biases.
bool goes_in_parts(const WeightInfo& weight);

}  // namespace gaggle
