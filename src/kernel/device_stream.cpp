#include "kernel/device_stream.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace gaggle {

DevicePoint::DevicePoint(at::Device device) : device_(device) {
  if (device.is_cpu()) return;
  event_ = std::make_shared<c10::Event>(device.type());
  event_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

void DevicePoint::wait() const {
  if (event_) event_->block(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
}

OwnStream::OwnStream(at::Device device) {
  if (device.is_cpu()) return;
  guard_ =
      std::make_unique<c10::StreamGuard>(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device));
}

}  // namespace gaggle
