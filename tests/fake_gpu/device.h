// What the operators need of the device.
#pragma once

#include <c10/core/Allocator.h>

namespace gaggle::fake_gpu {

c10::Allocator* device_allocator();
bool is_pinned(const void* p);  // host memory that copies need not wait for

}  // namespace gaggle::fake_gpu
