// libFuzzer: any bytes are either a GGUF file, whose tensors can all be read, or a UserError.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "formats/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const gaggle::GgufFile file(std::as_bytes(std::span(data, size)), "input");
    for (const gaggle::GgufTensor& tensor : file.tensors()) {
      std::vector<float> values(static_cast<size_t>(tensor.count()));
      gaggle::dequantize(tensor.type, tensor.bytes, values);
    }
  } catch (const gaggle::UserError&) {
  }
  return 0;
}
