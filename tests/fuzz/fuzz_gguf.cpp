// A GGUF file, whose tensors can all be read.
#include "formats/gguf.h"
#include "fuzz.h"

void gaggle::fuzz::try_input(std::string_view bytes) {
  const GgufFile file(as_bytes(bytes), "input");
  for (const GgufTensor& tensor : file.tensors()) {
    std::vector<float> values(static_cast<size_t>(tensor.count()));
    dequantize(tensor.type, tensor.bytes, values);
  }
}
