// libFuzzer: any bytes are either a file of torch.save, whose tensors can all be read, or a UserError; and the
// same of the pickle in it, which changes of the archive around it would seldom reach.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "formats/pickled_tensors.h"
#include "formats/torch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const gaggle::TorchFile file(bytes, "input");
    for (const gaggle::TensorView& tensor : file.tensors()) {
      std::vector<float> values(static_cast<size_t>(tensor.count()));
      gaggle::to_float(tensor, values);
    }
  } catch (const gaggle::UserError&) {
  }
  try {
    gaggle::read_pickled_tensors(bytes, "input");
  } catch (const gaggle::UserError&) {
  }
  return 0;
}
