#include "train/early_sums.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "base/error.h"

namespace gaggle {
namespace {

// The layer of a tensor, "model.layers.3.self_attn.q_proj.lora_A"; before a member's stands its number and "/".
int layer_of(const std::string& tensor, const std::vector<Site>& sites) {
  const size_t begin = tensor.find('/') + 1;
  const std::string site = tensor.substr(begin, tensor.rfind('.') - begin);
  const auto found = std::ranges::find(sites, site, &Site::name);
  GAGGLE_CHECK(found != sites.end(), "{} is of no site", tensor);
  return found->layer;
}

}  // namespace

EarlySums::EarlySums(Communicator& group, const ParameterLayout& layout, int64_t lanes, at::Device device,
                     const std::vector<Site>& sites)
    : exchange_(group.beside(), layout, lanes, device), device_(device) {
  const auto ranks = static_cast<size_t>(group.size());
  for (size_t i = 0; i < layout.tensors().size(); ++i) {
    const ParameterInfo& tensor = layout.tensors()[i];
    const int owner = exchange_.owners().of_tensor[i];
    Bucket& bucket = buckets_[layer_of(tensor.name, sites)];
    bucket.owners.ranges.resize(ranks);
    bucket.owners.counts.resize(ranks);
    give(bucket.owners, tensor, owner);
    append_range(bucket.ranges, {tensor.offset, tensor.count});
    if (owner != group.rank()) continue;
    append_range(bucket.mine, {owned_, tensor.count});
    owned_ += tensor.count;
  }
}

void EarlySums::begin() {
  for (const Sent& sent : sent_) sent.done.wait();
  sent_.clear();
}

void EarlySums::send(int layer, LaneSums& sums, bool failed, SideThread& thread) {
  const auto found = buckets_.find(layer);
  if (found == buckets_.end()) return;
  const c10::InferenceMode off(false);  // what is packed in a pass is changed after it
  Bucket& bucket = found->second;
  if (std::ranges::find(sent_, &bucket, &Sent::bucket) != sent_.end()) return;
  Exchange::Parcels parcels = exchange_.pack(failed ? sums.stand_ins() : sums.pieces_of(bucket.ranges), bucket.owners);
  Sent& sent = sent_.emplace_back(Sent{&bucket, std::move(parcels), DevicePoint(device_), {}, {}});
  sent.done = thread.run([this, &sent] {
    const OwnStream beside(device_);
    sent.packed.wait();
    exchange_.send(sent.parcels);
    sent.here = DevicePoint(device_);
  });
}

at::Tensor EarlySums::take() {
  GAGGLE_CHECK(sent_.size() == buckets_.size());
  at::Tensor owned = at::empty({owned_}, at::TensorOptions().dtype(at::kFloat).device(device_));
  for (Sent& sent : sent_) {
    sent.done.get();
    sent.here.wait();
    scatter_ranges(exchange_.sum(sent.parcels), sent.bucket->mine, owned);
  }
  sent_.clear();
  return owned;
}

}  // namespace gaggle
