// Work of other threads beside what the main thread computes on a GPU. On a CPU there is nothing to order.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>

#include <memory>

namespace gaggle {

// A point in what this thread has put on its stream so far.
class DevicePoint {
 public:
  DevicePoint() = default;
  explicit DevicePoint(at::Device device);
  // What the calling thread puts on its stream from here on begins after it.
  void wait() const;

 private:
  at::Device device_ = at::kCPU;
  std::shared_ptr<c10::Event> event_;  // null: of a CPU
};

// While it lives, what this thread computes and copies on the device goes on a stream of its own.
class OwnStream {
 public:
  explicit OwnStream(at::Device device);

 private:
  std::unique_ptr<c10::StreamGuard> guard_;
};

}  // namespace gaggle
