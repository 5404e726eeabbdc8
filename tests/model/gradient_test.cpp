// Every site's gradient against finite differences of the loss in fp64, whose cross-entropy is written out
// here; and the fast types against fp64.
#include <gtest/gtest.h>

#include <functional>

#include "../comm/nccl_ranks.h"
#include "../probe/matrix_adapter.h"
#include "base/philox.h"
#include "fake_checkpoint.h"

namespace gaggle {
namespace {

at::Tensor normal(at::IntArrayRef shape, uint64_t key, double std) {
  at::Tensor values = at::empty(shape, at::kFloat);
  fill_normal(key, std, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values.to(at::kDouble);
}

void append(TokenSequences& tokens, int n) {
  std::vector<int32_t> ids;
  for (int i = 0; i < n; ++i) ids.push_back((7 * i + 13 * n) % 90);
  append_sequence(tokens, ids);
}

// Sequences of 3, 11, 1 and 6 tokens; scored are all rows of two, with two targets on one of them. With an
// encoder the first reads 5 tokens, the next two the same 9, the last 1.
Microbatch batch(bool encoder) {
  Microbatch microbatch;
  for (const int n : {3, 11, 1, 6}) {
    const int64_t begin = microbatch.decoder.count();
    append(microbatch.decoder, n);
    for (int i = 0; i < n; ++i)
      for (int choice = 0; choice < (n == 11 && i == 4 ? 2 : n == 11 || n == 3); ++choice) {
        microbatch.scored_tokens.push_back(begin + i);
        microbatch.target_ids.push_back((3 * i + 17 * n + 5 * choice) % 90);
        microbatch.target_weights.push_back(0.25f * static_cast<float>(1 + i % 3));
      }
  }
  if (!encoder) return microbatch;
  for (const int n : {5, 9, 1}) append(microbatch.encoder, n);
  microbatch.sources = {0, 1, 1, 2};
  return microbatch;
}

double loss(BaseModel& base, probe::MatrixAdapter& adapter, const Microbatch& batch, double smoothing) {
  const at::Tensor hidden = base.forward(batch, &adapter, nullptr);
  const at::Tensor logp = at::log_softmax(base.logits(hidden, batch.scored_tokens), 1);
  double sum = 0;
  for (size_t i = 0; i < batch.target_ids.size(); ++i) {
    const at::Tensor row = logp[static_cast<int64_t>(i)];
    sum -= static_cast<double>(batch.target_weights[i]) *
           ((1 - smoothing) * row[batch.target_ids[i]] + smoothing * row.mean()).item<double>();
  }
  return sum;
}

struct GradientCase {
  const char* name;
  std::function<std::unique_ptr<ModelCheckpoint>()> checkpoint;
};

void PrintTo(const GradientCase& c, std::ostream* out) { *out << c.name; }

class Gradient : public testing::TestWithParam<GradientCase> {
 protected:
  std::unique_ptr<ModelCheckpoint> checkpoint = GetParam().checkpoint();
  std::unique_ptr<BaseModel> exact = load_base_model(*checkpoint, at::kDouble, at::kCPU, BaseUse::training);
  const Microbatch microbatch = batch(checkpoint->spec().encoder_decoder());
  probe::MatrixAdapter adapter = made();

  probe::MatrixAdapter made() const {
    probe::MatrixAdapter made;
    for (const Site& site : exact->sites())
      made.matrices[site.name] = normal({site.d_out, site.d_in}, name_number(site.name), 0.05);
    return made;
  }

  // Of the adapter's gradients against what `loss_of` says.
  void expect_differences(const std::function<double(probe::MatrixAdapter&)>& loss_of, double h, double limit) {
    ASSERT_EQ(adapter.gradients.size(), exact->sites().size());
    const std::map<std::string, at::Tensor> gradients = adapter.gradients;
    for (const Site& site : exact->sites()) {
      at::Tensor& matrix = adapter.matrices[site.name];
      const at::Tensor direction = normal(matrix.sizes(), name_number(site.name) + 1, 1);
      matrix.add_(direction, h);
      const double above = loss_of(adapter);
      matrix.add_(direction, -2 * h);
      const double below = loss_of(adapter);
      matrix.add_(direction, h);
      const double expected = (gradients.at(site.name) * direction).sum().item<double>();
      EXPECT_NEAR((above - below) / (2 * h), expected, limit * (1 + std::abs(expected))) << site.name;
    }
  }
};

TEST_P(Gradient, EqualsFiniteDifferencesAtEverySite) {
  for (const double smoothing : {0.0, 0.2}) {
    adapter.gradients.clear();
    exact->forward_backward(microbatch, adapter, {.label_smoothing = smoothing});
    expect_differences([&](probe::MatrixAdapter& moved) { return loss(*exact, moved, microbatch, smoothing); }, 1e-5,
                       2e-6);
  }
}

TEST_P(Gradient, OfTheFastTypesFollowsFp64) {
  const at::Tensor nll = exact->forward_backward(microbatch, adapter);
  for (const auto& [type, limit] : {std::pair{at::kFloat, 1e-5}, std::pair{at::kBFloat16, 0.08}}) {
    const auto base = load_base_model(*checkpoint, type, at::kCPU, BaseUse::training);
    probe::MatrixAdapter ours = made();
    const auto apart = [](const at::Tensor& a, const at::Tensor& b) {
      return ((a.to(at::kDouble) - b.to(at::kDouble)).norm() / b.to(at::kDouble).norm()).item<double>();
    };
    EXPECT_LT(apart(base->forward_backward(microbatch, ours), nll), limit);
    for (const Site& site : exact->sites())
      EXPECT_LT(apart(ours.gradients[site.name], adapter.gradients[site.name]), limit) << site.name << type;
  }
}

// train.recompute: to the bit, with the base's dropout too where it has one.
TEST_P(Gradient, OfLayersComputedAgainHasTheSameBits) {
  const BaseDropout dropout{checkpoint->spec().encoder_decoder() ? 0.3 : 0.0, 5};
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const auto base = load_base_model(*checkpoint, type, at::kCPU, BaseUse::training);
    probe::MatrixAdapter kept = made(), again = made();
    const at::Tensor nll = base->forward_backward(microbatch, kept, {}, dropout);
    base->recompute_layers(true);
    EXPECT_TRUE(at::equal(base->forward_backward(microbatch, again, {}, dropout), nll));
    for (const Site& site : base->sites())
      EXPECT_TRUE(at::equal(again.gradients[site.name], kept.gradients[site.name])) << site.name << type;
  }
}

ShardGroup over(Communicator& ranks) {
  return {ranks.rank(), ranks.size(),
          [&](std::span<const std::byte> mine, std::span<std::byte> all) { ranks.all_gather(mine, all); }};
}

// model.shard: to the bit, scored and trained, in every storage; and once a kind of pass is known, every layer is asked for
// before it is needed.
TEST_P(Gradient, OfABaseInPartsHasTheSameBits) {
  const auto whole_bytes = [&](at::ScalarType type, Storage storage) {
    int64_t bytes = 0;
    for (const WeightInfo& weight : checkpoint->weights())
      if (goes_in_parts(weight)) {
        const auto form = form_in_memory(storage, *checkpoint, weight);
        bytes += form ? weight.shape[0] * (code_bytes(*form, weight.shape[1]) + 4 * scale_count(*form, weight.shape[1]))
                      : count_of(weight.shape) * static_cast<int64_t>(c10::elementSize(type));
      }
    return bytes;
  };
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
    for (const Storage storage : {Storage::dtype, Storage::int8}) {
      const auto base = load_base_model(*checkpoint, type, at::kCPU, BaseUse::training, storage);
      probe::MatrixAdapter expected = made();
      const at::Tensor nll = base->forward_backward(microbatch, expected);
      const at::Tensor scored = base->forward(microbatch, nullptr, nullptr);
      const auto check = [&](Communicator& ranks, const ShardGroup& group) {
        const auto part = load_base_model(*checkpoint, type, at::kCPU, BaseUse::training, storage, group);
        EXPECT_EQ(part->content_digest(), base->content_digest());
        for (const bool recompute : {false, true}) {
          part->recompute_layers(recompute);
          for (int pass = 0; pass < 2; ++pass) {
            probe::MatrixAdapter adapter = made();
            EXPECT_TRUE(at::equal(part->forward_backward(microbatch, adapter), nll));
            for (const Site& site : base->sites())
              EXPECT_TRUE(at::equal(adapter.gradients[site.name], expected.gradients[site.name])) << site.name << type;
          }
        }
        EXPECT_TRUE(at::equal(part->forward(microbatch, nullptr, nullptr), scored));
        const auto twice = [&] {
          for (int pass = 0; pass < 2; ++pass) part->nll(part->forward(microbatch, nullptr, nullptr), microbatch);
          for (int pass = 0; pass < 2; ++pass) {
            probe::MatrixAdapter adapter = made();
            part->forward_backward(microbatch, adapter);
          }
          return part->shards()->counts().late;
        };
        const int64_t late = twice();
        EXPECT_LE(twice(), late + 4);  // where the kind of pass changes
        EXPECT_GT(part->shards()->counts().ahead, 20);
        const int64_t parts = part->shards()->bytes_held(), all = whole_bytes(type, storage);
        EXPECT_GE(parts * ranks.size(), all);
        EXPECT_LT(parts * ranks.size(), all + 100 * ranks.size());  // rounded up for each tensor
      };
      const bool plain = storage == Storage::dtype && type == at::kFloat;
      for (const int ranks : plain ? std::vector{2, 3, 4} : std::vector{3})
        run_as_threads(ranks, 60, [&](Communicator& group) { check(group, over(group)); });
      if (!plain) continue;
      test::FakeNccl fake({.init_polls = 1, .start_polls = 1});
      test::run_with_nccl(3, fake, test::fake_options(),
                          [&](Communicator& group) { check(group, over(*group.device())); });
      EXPECT_GT(fake.groups(), 20);
    }
}

// With dropout in the base the pass itself is the reference: the same noise at every call.
TEST_P(Gradient, KnowsTheBasesDropout) {
  if (!checkpoint->spec().encoder_decoder()) GTEST_SKIP() << "Llama-shaped models have none";
  if (!checkpoint->spec().gated) GTEST_SKIP() << "relu has kinks within a step that fp32 losses can resolve";
  const BaseDropout dropout{0.3, 5};
  const auto dropped_loss = [&](probe::MatrixAdapter& moved) {
    const at::Tensor nll = exact->forward_backward(microbatch, moved, {}, dropout).to(at::kDouble);
    return (nll * at::tensor(microbatch.target_weights, at::kDouble)).sum().item<double>();
  };
  const double with = dropped_loss(adapter);
  EXPECT_GT(std::abs(with - loss(*exact, adapter, microbatch, 0)), 1e-3);
  expect_differences(dropped_loss, 1e-4, 5e-3);  // the pass gives its nll in fp32
}

template <class Checkpoint, class... Arguments>
GradientCase of(const char* name, Arguments... arguments) {
  return {name, [=] { return std::make_unique<Checkpoint>(arguments...); }};
}

INSTANTIATE_TEST_SUITE_P(Models, Gradient,
                         testing::Values(of<FakeCheckpoint>("llama", 0, false, false),
                                         of<FakeCheckpoint>("window", 4, true, false),
                                         of<FakeCheckpoint>("tied", 0, false, true),
                                         of<FakeCheckpoint>("dynamic", 0, false, false, scaled_by_length("dynamic")),
                                         of<FakeCheckpoint>("longrope", 0, true, false, scaled_by_length("longrope")),
                                         of<FakeT5>("t5_v11", true), of<FakeT5>("t5_v10", false)));

}  // namespace
}  // namespace gaggle
