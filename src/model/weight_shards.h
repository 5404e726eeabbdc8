// The matrices of a frozen base spread over ranks: each holds a part of every one, and a unit of them (a layer) is
// gathered when a pass comes to it, on a thread of its own and one unit ahead. Nothing has to be reduced: the base is
// frozen.
#pragma once

#include <ATen/ATen.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/side_thread.h"

namespace gaggle {

// The ranks that share a base. All of them make the same passes in the same order.
struct ShardGroup {
  int rank = 0, size = 1;
  // Every rank's `mine`, as many bytes of each, one after the other; in the memory of the base's device. Collective. Called
  // from one thread, in the same order on all ranks.
  std::function<void(std::span<const std::byte> mine, std::span<std::byte> all)> gather;
};

class WeightShards {
 public:
  static constexpr size_t most_held = 3;  // units that are here whole: used now, used before it, next
  WeightShards(ShardGroup group, at::Device device);

  // This rank's part of a dense tensor on the CPU, on the device: [bytes / ranks, rounded up] uint8. From any thread.
  at::Tensor part_of(const at::Tensor& whole) const;
  // Room for so many parts of a unit, which is gathered together; returns the first one's number. In the same order on
  // all ranks.
  size_t reserve(const std::string& unit, size_t count);
  // Puts a part there; `bytes`: of the whole. From any thread.
  void keep(const std::string& unit, size_t number, at::Tensor part, int64_t bytes);
  // [bytes] uint8: the whole, until two other units were asked for. Collective in effect.
  at::Tensor whole(const std::string& unit, size_t number);
  // Units that were there already when a pass came to them, and those that it had to wait for.
  struct Counts {
    int64_t ahead = 0, late = 0;
  };
  Counts counts() const { return counts_; }
  int64_t bytes_held() const;  // of this rank's parts

 private:
  struct Unit {
    std::vector<at::Tensor> parts;
    std::vector<int64_t> bytes;
  };
  struct Gathered;
  using Units = std::map<std::string, Unit>;
  void start(Units::iterator unit);
  void wait(Gathered& gathered) const;
  void gather(Gathered& gathered) const;

  ShardGroup group_;
  at::Device device_;
  Units units_;
  // What passes did: the unit that came after two others. What comes next is guessed by it; a wrong guess costs time.
  std::map<std::pair<std::string, std::string>, std::string> next_;
  std::string before_, now_;
  std::deque<std::shared_ptr<Gathered>> held_;  // the latest last
  Counts counts_;
  SideThread gathering_;
};

// A frozen tensor: held here, or in parts.
class FrozenTensor {
 public:
  FrozenTensor() = default;
  FrozenTensor(at::Tensor whole) : like_(whole), whole_(std::move(whole)) {}  // NOLINT: what is whole is one
  // Keeps this rank's part of `whole`, a tensor on the CPU, in room that is reserved.
  FrozenTensor(std::shared_ptr<WeightShards> shards, const std::string& unit, size_t number, const at::Tensor& whole);

  bool defined() const { return like_.defined(); }
  bool in_parts() const { return shards_ != nullptr; }
  int64_t size(int64_t dim) const { return like_.size(dim); }
  // In a pass: gathered where it is in parts, and to be used at once.
  at::Tensor get() const;

 private:
  at::Tensor like_;  // sizes, type and device; of what is in parts without memory of its own
  at::Tensor whole_;
  std::shared_ptr<WeightShards> shards_;
  std::string unit_;
  size_t number_ = 0;
};

// The unit of a weight of this name: its layer, "model.layers.3"; of a T5 decoder's layer apart from it what all layers read
// of the encoder first; else the weight alone.
std::string unit_of_weight(const std::string& name);

}  // namespace gaggle
