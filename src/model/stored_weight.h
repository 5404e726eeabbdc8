// A frozen matrix that stays in few bits and is expanded for each product.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <optional>
#include <string>

#include "formats/checkpoint.h"
#include "model/weight_shards.h"

namespace gaggle {

// model.storage: how the linears of a base are held. file: as the file has them (GGUF's types, bitsandbytes').
enum class Storage { dtype, int8, nf4, file };
Storage storage_named(const std::string& name);

// A linear's matrix, not the embedding's, the head's or the position biases'.
bool is_linear_weight(const WeightInfo& weight);
// The form that a weight gets in memory; nullopt: plain numbers. Linears alone have one, whose rows are whole blocks.
std::optional<RowForm> form_in_memory(Storage storage, const ModelCheckpoint& checkpoint, const WeightInfo& weight);

class StoredWeight {
 public:
  StoredWeight() = default;
  // dtype: of what it is expanded to; place: which holds the tensors.
  using Place = std::function<FrozenTensor(const at::Tensor&)>;
  StoredWeight(const StoredRows& rows, at::ScalarType dtype, at::Device device, const Place& place);

  bool defined() const { return codes_.defined(); }
  const RowForm& form() const { return form_; }
  int64_t d_out() const { return codes_.size(0); }
  // [d_out, d_in]: each value made in fp32 and rounded once.
  at::Tensor expand() const;

 private:
  RowForm form_;
  int64_t width_ = 0;
  at::ScalarType dtype_ = at::kFloat;
  FrozenTensor codes_, scales_;  // [d_out, bytes] uint8, [d_out, scales] fp32
  at::Tensor nf4_values_;        // [16] fp32, of nf4 on a GPU
};

}  // namespace gaggle
