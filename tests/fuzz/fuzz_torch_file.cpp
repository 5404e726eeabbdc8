// A file of torch.save, whose tensors can all be read; and the pickle in it by itself, which changes of the archive
// around it would seldom reach.
#include "formats/pickled_tensors.h"
#include "formats/torch_file.h"
#include "fuzz.h"

void gaggle::fuzz::try_input(std::string_view bytes) {
  attempt([&] {
    const TorchFile file(as_bytes(bytes), "input");
    for (const TensorView& tensor : file.tensors()) {
      std::vector<float> values(static_cast<size_t>(tensor.count()));
      to_float(tensor, values);
    }
  });
  read_pickled_tensors(as_bytes(bytes), "input");
}
