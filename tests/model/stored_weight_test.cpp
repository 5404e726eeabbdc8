// Linears in few bits: what they expand to, what is multiplied, and whole bases that hold them.
#include "model/stored_weight.h"

#include <gtest/gtest.h>

#include <set>

#include "../probe/matrix_adapter.h"
#include "base/philox.h"
#include "fake_checkpoint.h"
#include "model/frozen_linear.h"
#include "model/gguf_tensors.h"

namespace gaggle {
namespace {

at::Tensor normal(at::IntArrayRef shape, uint64_t key) {
  at::Tensor values = at::empty(shape, at::kFloat);
  fill_normal(key, 1, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values;
}

StoredRows rows_of(RowKind kind, const at::Tensor& x) {
  return quantised(kind, {x.data_ptr<float>(), static_cast<size_t>(x.numel())}, x.size(0), x.size(1));
}

FrozenTensor held_here(const at::Tensor& tensor) { return tensor; }

double relative_error(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).norm() / b.to(at::kDouble).norm()).item<double>();
}

TEST(StoredWeight, EveryValueGoesToTheCodeNextToIt) {
  const at::Tensor x = normal({5, 192}, 3);
  x[2].fill_(0);  // a row without any scale
  const at::Tensor int8 = StoredWeight(rows_of(RowKind::int8, x), at::kFloat, at::kCPU, held_here).expand();
  const at::Tensor step = x.abs().amax(1, true) / 127;
  EXPECT_TRUE(((int8 - x).abs() <= step * 0.5001).all().item<bool>());
  const at::Tensor codes = at::tensor(at::ArrayRef<float>(nf4_values));
  const at::Tensor blocks = x.view({5, 3, 64}), scale = blocks.abs().amax(2, true);
  const at::Tensor all = codes.view({1, 1, 1, 16}) * scale.unsqueeze(3);
  const at::Tensor least = (all - blocks.unsqueeze(3)).abs().amin(3).view({5, 192});
  const at::Tensor nf4 = StoredWeight(rows_of(RowKind::nf4, x), at::kFloat, at::kCPU, held_here).expand();
  EXPECT_TRUE(((nf4 - x).abs() <= least * 1.0001 + 1e-7).all().item<bool>());
  EXPECT_EQ(int8[2].abs().max().item<float>(), 0);
  EXPECT_EQ(nf4[2].abs().max().item<float>(), 0);
}

TEST(StoredWeight, MultipliesAsItsExpandedMatrix) {
  for (const RowKind kind : {RowKind::int8, RowKind::nf4})
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const StoredWeight weight(rows_of(kind, normal({24, 128}, 5)), type, at::kCPU, held_here);
      const at::Tensor w = weight.expand(), bias = normal({24}, 6).to(type);
      const at::Tensor x = normal({7, 128}, 7).to(type), dy = normal({7, 24}, 8).to(type);
      const FrozenLinear stored(weight, bias), plain(w, bias, BaseUse::training);
      const double limit = type == at::kFloat ? 1e-6 : 8e-3;
      EXPECT_EQ(stored.d_out(), 24);
      EXPECT_LT(relative_error(stored.forward(x), plain.forward(x)), limit);
      EXPECT_LT(relative_error(stored.dx(dy), plain.dx(dy)), limit);
      const at::Tensor sum = normal({7, 128}, 9).to(type);
      EXPECT_LT(relative_error(stored.dx(dy, sum.clone()), plain.dx(dy, sum.clone())), limit);
    }
}

// What a GPU does: every type, from any bytes; what is not a number may be so in its own way.
TEST(GgufTensors, HaveTheBitsOfDequantize) {
  for (const GgufType type :
       {GgufType::q4_0, GgufType::q4_1, GgufType::q5_0, GgufType::q5_1, GgufType::q8_0, GgufType::q2_k, GgufType::q3_k,
        GgufType::q4_k, GgufType::q5_k, GgufType::q6_k, GgufType::iq4_nl, GgufType::iq4_xs}) {
    const auto [values, bytes] = gguf_block(type);
    const int64_t rows = 64, blocks = 512 / values;
    at::Tensor codes = at::empty({rows, blocks * bytes}, at::kByte);
    for (int64_t i = 0; i < codes.numel(); ++i)
      codes.data_ptr<uint8_t>()[i] =
          static_cast<uint8_t>(random_key("codes", {static_cast<uint64_t>(type), static_cast<uint64_t>(i)}));
    at::Tensor expected = at::empty({rows, 512});
    dequantize(type, {static_cast<const std::byte*>(codes.data_ptr()), static_cast<size_t>(codes.numel())},
               {expected.data_ptr<float>(), static_cast<size_t>(expected.numel())});
    const at::Tensor found = gguf_values(type, codes, 512);
    EXPECT_TRUE(at::equal(found.nan_to_num(7), expected.nan_to_num(7))) << static_cast<int>(type);
    EXPECT_GT(expected.nan_to_num(0).ne(0).sum().item<int64_t>(), 20000);
  }
}

// Widths that are whole blocks of nf4.
struct WideCheckpoint final : ModelCheckpoint {
  WideCheckpoint() {
    spec_ = FakeCheckpoint().spec();
    spec_.hidden = 64, spec_.intermediate = 128, spec_.heads = 8;
    path_ = "wide";
    weights_ = expected_weights(spec_);
  }
  void read(const std::string& name, std::span<const int64_t> shape, std::span<float> values) const override {
    fill_random(name, shape, values);
  }
};

TEST(StoredWeight, OfABaseThatTrains) {
  const WideCheckpoint checkpoint;
  Microbatch batch;
  std::vector<int32_t> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(7 * i % 90);
  append_sequence(batch.decoder, ids);
  batch.scored_tokens = {4, 9};
  batch.target_ids = {3, 50};
  batch.target_weights = {1, 0.5f};
  const auto plain = load_base_model(checkpoint, at::kFloat, at::kCPU, BaseUse::training);
  std::set<std::string> digests = {plain->content_digest()};
  for (const auto& [storage, limit] : {std::pair{Storage::int8, 0.03}, std::pair{Storage::nf4, 0.3}}) {
    const auto base = load_base_model(checkpoint, at::kFloat, at::kCPU, BaseUse::training, storage);
    digests.insert(base->content_digest());
    EXPECT_LT(base->weight_bytes(), plain->weight_bytes());
    probe::MatrixAdapter adapter, exact;
    EXPECT_LT(relative_error(base->forward_backward(batch, adapter), plain->forward_backward(batch, exact)), limit);
  }
  EXPECT_EQ(digests.size(), 3);  // other contents: another base
  // Where the file has plain numbers, "file" is them.
  const auto same = load_base_model(checkpoint, at::kFloat, at::kCPU, BaseUse::training, Storage::file);
  EXPECT_EQ(same->content_digest(), plain->content_digest());
  EXPECT_EQ(same->weight_bytes(), plain->weight_bytes());
}

}  // namespace
}  // namespace gaggle
