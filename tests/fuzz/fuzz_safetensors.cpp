// A safetensors file, whose tensors can all be read.
#include "formats/safetensors.h"
#include "fuzz.h"

void gaggle::fuzz::try_input(std::string_view bytes) {
  const SafetensorsFile file(as_bytes(bytes), "input");
  for (const TensorView& tensor : file.tensors()) {
    std::vector<float> values(static_cast<size_t>(tensor.count()));
    to_float(tensor, values);
  }
}
