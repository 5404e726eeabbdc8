#include "model/weight_shards.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernel/device_stream.h"

namespace gaggle {
namespace {

int64_t bytes_of_part(int64_t bytes, int ranks) { return (bytes + ranks - 1) / ranks; }

std::span<std::byte> bytes_of(const at::Tensor& dense) {
  return {static_cast<std::byte*>(dense.data_ptr()), dense.nbytes()};
}

}  // namespace

// A unit on its way or here.
struct WeightShards::Gathered {
  Units::iterator unit;
  std::vector<at::Tensor> wholes;  // [bytes of all parts] uint8
  DevicePoint free, ready;         // on a GPU: its memory may be written; it is written
  std::shared_future<void> here;
};

WeightShards::WeightShards(ShardGroup group, at::Device device) : group_(std::move(group)), device_(device) {}

at::Tensor WeightShards::part_of(const at::Tensor& whole) const {
  const auto bytes = static_cast<int64_t>(whole.nbytes()), each = bytes_of_part(bytes, group_.size);
  const int64_t begin = std::min(bytes, each * group_.rank), end = std::min(bytes, begin + each);
  at::Tensor part = at::zeros({each}, at::kByte);
  const at::Tensor dense = whole.contiguous();
  std::memcpy(part.data_ptr(), static_cast<const std::byte*>(dense.const_data_ptr()) + begin,
              static_cast<size_t>(end - begin));
  return part.to(device_);
}

size_t WeightShards::reserve(const std::string& unit, size_t count) {
  Unit& kept = units_[unit];
  const size_t first = kept.parts.size();
  kept.parts.resize(first + count);
  kept.bytes.resize(first + count);
  return first;
}

void WeightShards::keep(const std::string& unit, size_t number, at::Tensor part, int64_t bytes) {
  Unit& kept = units_.at(unit);
  kept.parts[number] = std::move(part);
  kept.bytes[number] = bytes;
}

int64_t WeightShards::bytes_held() const {
  int64_t bytes = 0;
  for (const auto& [name, unit] : units_)
    for (const at::Tensor& part : unit.parts) bytes += static_cast<int64_t>(part.nbytes());
  return bytes;
}

void WeightShards::start(Units::iterator unit) {
  while (held_.size() >= most_held) {
    wait(*held_.front());
    held_.pop_front();
  }
  const auto gathered = std::make_shared<Gathered>();
  gathered->unit = unit;
  for (const at::Tensor& part : unit->second.parts)
    gathered->wholes.push_back(at::empty({part.numel() * group_.size}, part.options()));
  gathered->free = DevicePoint(device_);
  held_.push_back(gathered);
  gathered->here = gathering_.run([this, gathered] { gather(*gathered); });
}

void WeightShards::wait(Gathered& gathered) const {
  gathered.here.get();
  gathered.ready.wait();
}

at::Tensor WeightShards::whole(const std::string& unit, size_t number) {
  const auto found = [&](const std::string& name) {
    return std::ranges::find_if(held_, [&](const auto& gathered) { return gathered->unit->first == name; });
  };
  auto here = found(unit);
  if (unit != now_) {
    next_[{before_, now_}] = unit;
    before_ = std::exchange(now_, unit);
    ++(here == held_.end() ? counts_.late : counts_.ahead);
    if (here == held_.end())
      start(units_.find(unit));
    else
      std::rotate(here, here + 1, held_.end());  // the latest last
    const auto next = next_.find({before_, now_});
    wait(*held_.back());
    if (next != next_.end() && found(next->second) == held_.end()) start(units_.find(next->second));
    here = found(unit);
  }
  return (*here)->wholes[number].narrow(0, 0, (*here)->unit->second.bytes[number]);
}

void WeightShards::gather(Gathered& gathered) const {
  const OwnStream beside(device_);
  gathered.free.wait();
  const std::vector<at::Tensor>& parts = gathered.unit->second.parts;
  for (size_t i = 0; i < parts.size(); ++i) group_.gather(bytes_of(parts[i]), bytes_of(gathered.wholes[i]));
  gathered.ready = DevicePoint(device_);
}

FrozenTensor::FrozenTensor(std::shared_ptr<WeightShards> shards, const std::string& unit, size_t number,
                           const at::Tensor& whole)
    : shards_(std::move(shards)), unit_(unit), number_(number) {
  at::Tensor part = shards_->part_of(whole);
  like_ = at::empty({1}, whole.options().device(part.device())).expand(whole.sizes());
  shards_->keep(unit_, number_, std::move(part), static_cast<int64_t>(whole.nbytes()));
}

at::Tensor FrozenTensor::get() const {
  if (!shards_) return whole_;
  return shards_->whole(unit_, number_).view(like_.scalar_type()).view(like_.sizes());
}

std::string unit_of_weight(const std::string& name) {
  for (const char* read : {".EncDecAttention.k.", ".EncDecAttention.v."})
    if (const size_t at = name.find(read); at != std::string::npos) return name.substr(0, at) + ".source";
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    const size_t end = name.find_first_not_of("0123456789", dot + 1);
    if (end != std::string::npos && end > dot + 1 && name[end] == '.') return name.substr(0, end);
  }
  return name;
}

}  // namespace gaggle
