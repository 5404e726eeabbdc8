// What a pass asks of a GPU: launches of a layer, waits of the host. Neither grows with the number of sequences.
#include "adapter/gate.h"
#include "adapter/lora.h"
#include "passes.h"

namespace gaggle {
namespace {

enum class Direction { forward, both };

// Of one pass of a bf16 model with one LoRA, the second time: what is made once is there.
Counts counts_of(int64_t layers, int64_t sequences, Direction direction, bool gates = false) {
  const Deep checkpoint(layers);
  const auto base = load_base_model(checkpoint, at::kBFloat16, gpu, BaseUse::training);
  const auto sites = lora_sites(base->sites(), {}, 3, 1);
  at::Tensor lora = at::full({lora_layout(sites).size()}, 0.01f);
  std::unique_ptr<Trainable> adapter;
  if (gates)
    adapter = std::make_unique<GateAdapter>(sites, lora, at::kBFloat16, gpu);
  else
    adapter = std::make_unique<LoraAdapter>(sites, std::vector{lora}, at::kBFloat16, gpu);
  at::Tensor gradient = at::zeros_like(adapter->values());
  adapter->set_gradients(gradient);
  const Microbatch batch = rows(sequences);
  return second_time([&] {
    if (direction == Direction::forward)
      base->forward(batch, adapter.get(), nullptr);
    else
      base->forward_backward(batch, *adapter);
  });
}

int64_t launches_of_a_layer(Direction direction, bool gates = false) {
  const int64_t few = counts_of(2, 5, direction, gates).launches, many = counts_of(6, 5, direction, gates).launches;
  EXPECT_EQ((many - few) % 4, 0) << fake_gpu::take_list_of_operators();
  return (many - few) / 4;
}

using Budget = Gpu;

TEST_F(Budget, LaunchesOfALayer) {
  const int64_t forward = launches_of_a_layer(Direction::forward), both = launches_of_a_layer(Direction::both);
  std::printf("launches of a layer: %ld forward, %ld backward; with gates %ld and %ld\n", forward, both - forward,
              launches_of_a_layer(Direction::forward, true),
              launches_of_a_layer(Direction::both, true) - launches_of_a_layer(Direction::forward, true));
  EXPECT_LE(forward, 40);
  EXPECT_LE(both - forward, 90);
}

TEST_F(Budget, SequencesCostNothing) {
  for (const Direction direction : {Direction::forward, Direction::both}) {
    const Counts few = counts_of(2, 2, direction), many = counts_of(2, 40, direction);
    EXPECT_EQ(few.launches, many.launches);
    EXPECT_EQ(few.copies, many.copies);
    EXPECT_EQ(few.waits, many.waits);
  }
}

TEST_F(Budget, WaitsOfAMicrobatch) {
  const Counts both = counts_of(6, 5, Direction::both);
  EXPECT_LE(both.waits, 3) << fake_gpu::take_list_of_operators();
}

}  // namespace
}  // namespace gaggle
