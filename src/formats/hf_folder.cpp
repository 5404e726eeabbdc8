// A Hugging Face folder: config.json, and its weights as safetensors or torch.save's .bin, in one file or in
// the files of an index.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/names.h"
#include "formats/bitsandbytes.h"
#include "formats/model_files.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

template <class File>
std::unique_ptr<TensorFile> open_as(const fs::path& path) {
  return std::make_unique<File>(path);
}

struct WeightForm {
  const char* index;
  const char* single;
  std::unique_ptr<TensorFile> (*open)(const fs::path& path);
};
// The first that is there is read, and of one form the single file, as in transformers: an index beside it was
// left behind by shards that lay there before.
constexpr WeightForm weight_forms[] = {{"model.safetensors.index.json", "model.safetensors", open_as<SafetensorsFile>},
                                       {"pytorch_model.bin.index.json", "pytorch_model.bin", open_as<TorchFile>}};

// The index's files, each once.
std::set<std::string> indexed_files(const fs::path& index) {
  std::set<std::string> files;
  try {
    const json parsed = parse_json(read_file(index));
    for (const auto& [tensor, file] : parsed.at("weight_map").items()) {
      const auto name = file.get<std::string>();
      if (name.empty() || name.find('/') != std::string::npos || name[0] == '.')
        user_error("{}: tensor {} lies in \"{}\"; expected a file of this folder", index.string(), tensor, name);
      files.insert(name);
    }
  } catch (const json::exception& error) {
    user_error("{}: {}", index.string(), error.what());
  }
  return files;
}

// None: the folder has no weights.
std::vector<std::unique_ptr<TensorFile>> open_files(const fs::path& folder) {
  std::vector<std::unique_ptr<TensorFile>> files;
  for (const WeightForm& form : weight_forms) {
    const bool single = fs::exists(folder / form.single), indexed = !single && fs::exists(folder / form.index);
    if (!single && !indexed) continue;
    if (single && fs::exists(folder / form.index))
      log::warning("{}: {} is read, as transformers does; {} is left over and not read", folder.string(), form.single,
                   form.index);
    for (const std::string& name : indexed ? indexed_files(folder / form.index) : std::set<std::string>{form.single}) {
      if (!fs::exists(folder / name))
        user_error("{}: {} is not there, but {} names it", folder.string(), name, form.index);
      files.push_back(form.open(folder / name));
    }
    break;
  }
  return files;
}

class HfFolder : public ModelCheckpoint {
 public:
  explicit HfFolder(const ModelPlace& place) {
    path_ = place.path;
    commit_ = place.commit;
    const fs::path& folder = path_;
    const fs::path config = folder / "config.json";
    if (!fs::exists(config)) user_error("{}: there is no config.json", folder.string());
    spec_ = parse_hf_config(read_file(config), config.string());
    spec_.name = place.name;
    files_ = open_files(folder);
    for (const auto& file : files_)
      for (const TensorView& tensor : file->tensors())
        if (!tensors_.emplace(tensor.name, &tensor).second)
          user_error("{}: tensor {} is in two files", folder.string(), tensor.name);
    weights_ = expected_weights(spec_);
    if (!has_weights()) return;
    for (const auto& [second, name] : second_names(spec_))
      if (const auto found = tensors_.find(second); found != tensors_.end()) tensors_.emplace(name, found->second);
    for (const WeightInfo& weight : weights_)
      if (!form(weight)) find(weight.name, weight.shape);
    name_unused();
  }

  bool has_weights() const override { return !files_.empty(); }

  void read(const std::string& name, std::span<const int64_t> shape, std::span<float> values) const override {
    const WeightInfo weight{name, {shape.begin(), shape.end()}};
    form(weight) ? expand(stored(weight), values) : to_float(find(name, shape), values);
  }

  std::optional<RowForm> form(const WeightInfo& weight) const override {
    return has_weights() ? bitsandbytes_form(finder(), path_.string(), weight.name, weight.shape) : std::nullopt;
  }

  void let_go() const override {
    for (const auto& file : files_) file->let_go();
  }

  StoredRows stored(const WeightInfo& weight) const override {
    return read_bitsandbytes(finder(), path_.string(), weight.name, weight.shape);
  }

 private:
  FindTensor finder() const {
    return [this](const std::string& name) -> const TensorView* {
      const auto found = tensors_.find(name);
      return found == tensors_.end() ? nullptr : found->second;
    };
  }

  const TensorView& find(const std::string& name, std::span<const int64_t> shape) const {
    if (!has_weights())
      user_error("{}: neither {} nor {} nor {} nor {} is there", path_.string(), weight_forms[0].single,
                 weight_forms[0].index, weight_forms[1].single, weight_forms[1].index);
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      user_error("{}: tensor {} is missing (config.json says {}, {} layers)", path_.string(), name, spec_.model_type,
                 spec_.layers);
    const TensorView& tensor = *found->second;
    if (tensor.count() == 0) refuse_not_gathered(path_.string(), name);
    if (!std::ranges::equal(tensor.shape, shape))
      user_error("{}: tensor {} has shape {}; config.json asks for {}", path_.string(), name, shape_text(tensor.shape),
                 shape_text(shape));
    if (tensor.dtype != DType::f32 && tensor.dtype != DType::f16 && tensor.dtype != DType::bf16 &&
        tensor.dtype != DType::f64)
      user_error("{}: tensor {} has type {}; expected F32, F16, BF16 or F64", path_.string(), name,
                 name_of(tensor.dtype));
    return tensor;
  }

  // Old files carry buffers that are computed today, a bias that T5 never used, and second copies; the rest is
  // worth a word.
  void name_unused() const {
    const std::map<std::string, std::string> seconds = second_names(spec_);
    std::vector<std::string> unused;
    for (const auto& [name, tensor] : tensors_) {
      const bool expected = std::ranges::binary_search(weights_, name, {}, &WeightInfo::name);
      const bool known = name.ends_with("rotary_emb.inv_freq") || seconds.contains(name) ||
                         is_bitsandbytes_part(name) ||
                         name == "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
      if (!expected && !known) unused.push_back(name);
    }
    if (unused.empty()) return;
    const size_t count = unused.size();
    unused.resize(std::min<size_t>(count, 3));
    log::warning("{}: {} tensors belong to no part of {} and are left out: {}{}", path_.string(), count,
                 spec_.model_type, join(unused, ", "), count > 3 ? ", …" : "");
  }

  std::vector<std::unique_ptr<TensorFile>> files_;
  std::map<std::string, const TensorView*> tensors_;
};

}  // namespace

std::unique_ptr<ModelCheckpoint> open_hf_folder(const ModelPlace& place) { return std::make_unique<HfFolder>(place); }

}  // namespace gaggle
