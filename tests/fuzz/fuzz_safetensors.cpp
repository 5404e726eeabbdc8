// libFuzzer: any bytes are either a safetensors file or a UserError.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const gaggle::SafetensorsFile file(std::as_bytes(std::span(data, size)), "input");
    for (const gaggle::TensorView& tensor : file.tensors()) {
      std::vector<float> values(static_cast<size_t>(tensor.count()));
      gaggle::to_float(tensor, values);
    }
  } catch (const gaggle::UserError&) {
  }
  return 0;
}
