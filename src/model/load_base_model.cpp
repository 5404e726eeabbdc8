#include "model/llama.h"
#include "model/t5.h"

namespace gaggle {

std::unique_ptr<BaseModel> load_base_model(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device,
                                           BaseUse use, Storage storage, ShardGroup ranks) {
  if (checkpoint.spec().encoder_decoder())
    return std::make_unique<T5Model>(checkpoint, dtype, device, use, storage, std::move(ranks));
  return std::make_unique<LlamaModel>(checkpoint, dtype, device, use, storage, std::move(ranks));
}

}  // namespace gaggle
