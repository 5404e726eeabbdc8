// The tensors of a checkpoint in the types a base computes with.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace gaggle {

// The residual stream is held in fp32 also for bf16 activations: it costs 2 bytes a value and spares a rounding
// per layer (and per gradient), which is what separates bf16 runs from fp32 ones most.
at::ScalarType residual_dtype(at::ScalarType activations);

// By Hugging Face name. Taken out one by one: a packed linear's own tensor is freed before the next is packed.
class WeightTensors {
 public:
  WeightTensors() = default;
  WeightTensors(std::map<std::string, at::Tensor> tensors, std::string digest)
      : tensors_(std::move(tensors)), digest_(std::move(digest)) {}
  at::Tensor take(const std::string& name);              // undefined: not there
  const std::string& digest() const { return digest_; }  // of all contents as fp32, whatever they are stored in

 private:
  std::map<std::string, at::Tensor> tensors_;
  std::string digest_;
};

// All of them, read and digested once, converted to `dtype`;
// norms and position biases to the residual stream's.
WeightTensors read_weights(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device);

}  // namespace gaggle
