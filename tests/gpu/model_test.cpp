// A small Llama with adapters on the GPU against the CPU, and training there: the same bits twice, and for any
// number of ranks.
#include <mutex>

#include "../model/fake_checkpoint.h"
#include "../train/fake_base.h"
#include "adapter/gate.h"
#include "adapter/routed.h"
#include "kernel/dispatch.h"
#include "nccl.h"
#include "train/expert.h"

namespace gaggle {
namespace {

void demand_determinism() { at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false); }

Microbatch sequences(const std::vector<int64_t>& lengths) {
  Microbatch batch;
  batch.decoder.starts.push_back(0);
  for (const int64_t n : lengths) {
    for (int64_t i = 0; i < n; ++i) {
      batch.decoder.ids.push_back(static_cast<int32_t>((7 * i + 13 * n) % 90));
      batch.decoder.positions.push_back(static_cast<int32_t>(i));
      if (i + 2 < n) continue;
      batch.scored_tokens.push_back(batch.decoder.count() - 1);
      batch.target_ids.push_back(static_cast<int32_t>((3 * i + n) % 90));
      batch.target_weights.push_back(0.1f * static_cast<float>(n));
    }
    batch.decoder.starts.push_back(batch.decoder.count());
  }
  batch.decoder.segments = {{0, 0, batch.decoder.count()}};
  return batch;
}

struct Case {
  at::ScalarType type;
  double limit;
  bool qk_norm;
};

class Model : public Gpu, public testing::WithParamInterface<Case> {
 protected:
  void SetUp() override {
    Gpu::SetUp();
    demand_determinism();
  }
  FakeCheckpoint checkpoint{GetParam().qk_norm ? 6 : 0, GetParam().qk_norm};
  double limit = GetParam().limit;
};

struct Pass {
  at::Tensor nll, grad;
};

// Forward and backward with a LoRA whose B is not zero, or with gates on it.
Pass pass_on(at::Device device, at::ScalarType type, const ModelCheckpoint& checkpoint, bool gates) {
  const auto base = load_base_model(checkpoint, type, device, BaseUse::training);
  const auto sites = lora_sites(base->sites(), {}, 3, 1);
  const ParameterLayout layout = lora_layout(sites);
  at::Tensor lora = at::empty({layout.size()});
  fill_normal(9, 0.1, {lora.data_ptr<float>(), static_cast<size_t>(lora.numel())});
  std::unique_ptr<Trainable> adapter;
  if (gates)
    adapter = std::make_unique<GateAdapter>(sites, lora, type, device);
  else
    adapter = std::make_unique<LoraAdapter>(sites, std::vector{lora}, type, device);
  Pass pass;
  pass.grad = at::zeros_like(adapter->values());
  adapter->set_gradients(pass.grad);
  Microbatch batch = sequences({3, 40, 4, 12});
  if (checkpoint.spec().encoder_decoder()) {
    batch.encoder = sequences({9, 2, 30}).decoder;
    batch.sources = {0, 1, 1, 2};
  }
  pass.nll = base->forward_backward(batch, *adapter);
  return pass;
}

TEST_P(Model, LossAndEveryGradientEqualTheCpus) {
  for (const bool gates : {false, true}) {
    const Pass exact = pass_on(at::kCPU, at::kDouble, checkpoint, gates);
    const Pass ours = pass_on(gpu, GetParam().type, checkpoint, gates);
    EXPECT_TRUE(ours.grad.device() == gpu);
    EXPECT_LT(apart(ours.nll, exact.nll), limit);
    EXPECT_LT(apart(ours.grad, exact.grad), limit);
  }
}

// v1.1, or v1.0; with heads as flash attention takes them for what the decoder reads of the encoder.
struct WideT5 final : ModelCheckpoint {
  explicit WideT5(bool gated) {
    spec_ = FakeT5(gated).spec();
    spec_.head_dim = 16;
    path_ = "wide t5";
    weights_ = expected_weights(spec_);
  }
  void read(const std::string& name, std::span<const int64_t> shape, std::span<float> values) const override {
    FakeT5().read(name, shape, values);
  }
};

TEST_P(Model, T5sLossAndEveryGradientEqualTheCpus) {
  const WideT5 t5(GetParam().qk_norm);
  for (const bool gates : {false, true}) {
    const Pass exact = pass_on(at::kCPU, at::kDouble, t5, gates);
    const Pass ours = pass_on(gpu, GetParam().type, t5, gates);
    EXPECT_LT(apart(ours.nll, exact.nll), limit);
    EXPECT_LT(apart(ours.grad, exact.grad), limit);
  }
}

TEST_P(Model, ChoicesBehindACachedPromptEqualTheCpus) {
  const auto hidden_on = [&](at::Device device, at::ScalarType type) {
    LlamaModel base(checkpoint, type, device, BaseUse::training);
    KeyValueCache cache;
    base.forward(sequences({9, 17}), nullptr, &cache);
    Microbatch batch = sequences({4, 1, 6});
    for (int32_t& position : batch.decoder.positions) position += 17;
    batch.past.resize(3);
    for (auto& past : batch.past)
      for (int64_t i = 0; i < 17; ++i) past.push_back(9 + i);
    const at::Tensor hidden = base.forward(batch, nullptr, &cache);
    return std::pair(base.logits(hidden, batch.scored_tokens), base.nll(hidden, batch));
  };
  const auto [logits, nll] = hidden_on(at::kCPU, at::kDouble);
  const auto [our_logits, our_nll] = hidden_on(gpu, GetParam().type);
  EXPECT_LT(apart(our_logits, logits), limit);
  EXPECT_LT(apart(our_nll, nll), limit);
}

TEST_P(Model, RoutedExpertsEqualTheCpus) {
  const auto logits_on = [&](at::Device device, at::ScalarType type, std::vector<double>& weight) {
    LlamaModel base(checkpoint, type, device, BaseUse::training);
    RoutedCollection collection;
    collection.names = {"a", "b", "c"};
    for (const Site& site : base.sites()) {
      std::vector<LowRank> experts(3);
      collection.gates.emplace_back(3);
      for (size_t z = 0; z < 3; ++z) {
        const auto tensor = [&](at::IntArrayRef shape, uint64_t part) {
          at::Tensor t = at::empty(shape);
          const uint64_t key = random_key("gpu", {static_cast<uint64_t>(site.index), z, part});
          fill_normal(key, 0.2, {t.data_ptr<float>(), static_cast<size_t>(t.numel())});
          return t;
        };
        experts[z] = {tensor({4, site.d_in}, 0).to(device, type), tensor({site.d_out, 4}, 1).to(device, type), 0.5, {}};
        collection.gates.back()[z] = tensor({site.d_in}, 2).to(device);
      }
      collection.sites.push_back(stack_experts(std::move(experts)));
    }
    const auto adapter = make_phatgoose(collection, 2);
    const Microbatch batch = sequences({3, 20, 4});
    const at::Tensor logits = base.logits(base.forward(batch, adapter.get(), nullptr), batch.scored_tokens);
    weight = adapter->weight_by_expert();
    return logits;
  };
  std::vector<double> weight, our_weight;
  const at::Tensor exact = logits_on(at::kCPU, at::kFloat, weight);
  const at::Tensor ours = logits_on(gpu, GetParam().type, our_weight);
  // In bf16 a few rows may choose another expert where two scores nearly tie.
  EXPECT_LT(apart(ours, exact), GetParam().type == at::kFloat ? limit : 0.3);
  for (size_t z = 0; z < 3; ++z) EXPECT_NEAR(our_weight[z], weight[z], 0.02 * weight[z]);
}

INSTANTIATE_TEST_SUITE_P(Gpu, Model,
                         testing::Values(Case{at::kFloat, 1e-4, false}, Case{at::kFloat, 1e-4, true},
                                         Case{at::kBFloat16, 6e-2, false}, Case{at::kBFloat16, 6e-2, true}));

class Training : public Gpu {
 protected:
  void SetUp() override {
    Gpu::SetUp();
    demand_determinism();
  }
};

#ifdef GAGGLE_FAKE_GPU
constexpr int64_t steps = 6, gate_steps = 2;  // its operators take their time
#else
constexpr int64_t steps = 20, gate_steps = 5;
#endif

ExpertResult train_on(Communicator& group, at::ScalarType type) {
  const FakeCheckpoint checkpoint;
  LlamaModel base(checkpoint, type, gpu, BaseUse::training);
  Config config;
  config.lora.rank = 3;
  config.lora.alpha = 3;
  config.train.steps = steps;
  config.train.batch_size = 9;
  config.train.lr = 0.02;
  config.train.lanes = 8;
  config.train.validate_every = 3;
  config.train.keep = "best";
  config.gate.steps = gate_steps;
  const TokenTask task = fake_task();
  const Recipe recipe = expert_recipe({config.run.seed, base.sites(), base.content_digest(), type},
                                      {config.lora, config.train, config.gate, config.cluster.ranks_per_expert}, task);
  return train_expert(base, task, recipe, group, {}, {});
}

TEST_F(Training, TheSameStepsTwiceGiveEqualBits) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto self = make_self();
    const ExpertResult first = train_on(*self, type), second = train_on(*self, type);
    EXPECT_TRUE(first.lora.is_cpu());
    EXPECT_TRUE(at::equal(first.lora, second.lora));
    EXPECT_TRUE(at::equal(first.gate, second.gate));
    EXPECT_EQ(first.metrics, second.metrics);
    EXPECT_LT(first.metrics["validation_loss"].get<double>(), first.metrics["base_loss"].get<double>());
  }
}

TEST_F(Training, RanksMakeEqualBits) {
  const auto self = make_self();
  const ExpertResult alone = train_on(*self, at::kFloat);
  for (const int ranks : {2, 3, 8}) {
    std::mutex mutex;
    run_as_threads(ranks, 120, [&](Communicator& group) {
      const ExpertResult done = train_on(group, at::kFloat);
      const std::lock_guard lock(mutex);
      EXPECT_TRUE(at::equal(done.lora, alone.lora));
      EXPECT_TRUE(at::equal(done.gate, alone.gate));
      EXPECT_EQ(done.metrics, alone.metrics);
    });
  }
}

// The same with gradients and values that never leave the GPU.
TEST_F(Training, RanksMakeEqualBitsFromGpuToGpu) {
  if (!has_gpu_streams()) GTEST_SKIP() << nccl_complaint();
  const auto self = make_self();
  const ExpertResult alone = train_on(*self, at::kFloat);
  for (const int ranks : {2, 4, 8}) {
    test::FakeNccl fake = fake_nccl_on_gpu();
    test::run_with_nccl(ranks, fake, gpu_options(), [&](Communicator& group) {
      const ExpertResult done = train_on(group, at::kFloat);
      EXPECT_TRUE(at::equal(done.lora, alone.lora));
      EXPECT_TRUE(at::equal(done.gate, alone.gate));
      EXPECT_EQ(done.metrics, alone.metrics);
    });
    EXPECT_GE(fake.groups(), ranks * 2 * (steps + gate_steps)) << "the device's path was taken";
  }
}

}  // namespace
}  // namespace gaggle
