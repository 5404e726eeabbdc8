#include "library/provenance.h"

#include "adapter/lora.h"
#include "registry/version_files.h"

namespace gaggle {

DType stored_dtype(const std::string& text) {
  return text == "bf16" ? DType::bf16 : text == "fp16" ? DType::f16 : DType::f32;
}

NewVersion new_version(Kind kind, const std::string& name, const Provenance& made) {
  nlohmann::json about = made.about;
  about["base"] = {
      {"name", made.base.spec().name}, {"shapes", made.base.shape_digest()}, {"content", made.base.content_digest()}};
  return {kind, name, made.key, {}, {}, about};
}

void add_adapter(NewVersion& version, const PeftAdapter& adapter, const Provenance& made) {
  version.files[adapter_config_file] = peft_config_json(adapter, site_names(made.base.sites()));
  version.files[adapter_file] = tensor_file_bytes(peft_tensors(adapter, made.dtype));
  version.sidecar.update(sizes_json(adapter));
}

}  // namespace gaggle
