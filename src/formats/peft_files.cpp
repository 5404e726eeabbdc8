#include "formats/peft_files.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/names.h"
#include "formats/peft_parts.h"

namespace gaggle {
namespace {

using namespace peft_parts;

// "model.layers.0.self_attn.q_proj" has the part "q_proj". T5 calls its one embedding "shared".
bool has_part(const std::string& path, const std::string& part) {
  const std::string dotted = "." + path + ".";
  return dotted.find("." + part + ".") != std::string::npos ||
         (part == "embed_tokens" && dotted.find(".shared.") != std::string::npos);
}

// Why the adapter is said to change that part: a tensor or a key of its config; "": it does not.
std::string sign_of(const PeftFiles& files, const std::string& part) {
  const auto of_part = [&](const TensorView& tensor) { return has_part(tensor.name, part); };
  if (const auto found = std::ranges::find_if(files.tensors, of_part); found != files.tensors.end())
    return "tensor " + found->name;
  const auto names_part = [&](const ordered_json& name) { return name.is_string() && has_part(text_of(name), part); };
  const ordered_json& saved = value_of(files.config, "modules_to_save");
  if (saved.is_array() && std::ranges::any_of(saved, names_part)) return "modules_to_save " + saved.dump();
  const ordered_json& rows = value_of(files.config, "trainable_token_indices");
  if (part == "embed_tokens" && is_set(rows)) return "trainable_token_indices";
  return "";
}

// Takes the part out of the lists that name it. A regex stays: what it matches besides is excluded.
void forget_part(ordered_json& config, const std::string& part) {
  for (const char* key : {"modules_to_save", "target_modules"})
    if (const auto list = config.find(key); list != config.end() && list->is_array()) {
      ordered_json left = ordered_json::array();
      for (const auto& name : *list)
        if (!has_part(text_of(name), part)) left.push_back(name);
      *list = std::move(left);
    }
  if (part == "embed_tokens") config.erase("trainable_token_indices");
  if (!value_of(config, "target_modules").is_string()) return;
  ordered_json& excluded = config["exclude_modules"];
  if (excluded.is_string() && is_set(excluded))
    excluded = fmt::format("({})|(.*\\.)?{}", text_of(excluded), part);
  else if (excluded.is_array())
    excluded.push_back(part);
  else
    excluded = ordered_json::array({part});
}

// Head and embedding lie outside the layers, where no linear is adapted.
void without_parts(PeftFiles& files, const std::vector<std::string>& drop) {
  std::vector<std::string> kept, signs;
  for (const std::string part : {"lm_head", "embed_tokens"}) {
    const std::string sign = sign_of(files, part);
    if (sign.empty()) continue;
    if (std::ranges::find(drop, part) == drop.end()) {
      kept.push_back(part);
      signs.push_back(sign);
      continue;
    }
    const size_t removed =
        std::erase_if(files.tensors, [&](const TensorView& tensor) { return has_part(tensor.name, part); });
    forget_part(files.config, part);
    files.changes.push_back(fmt::format("{} left out ({} tensors)", part, removed));
    if (files.tensors.empty()) user_error("{}: nothing is left of it without {}", files.folder.string(), part);
  }
  if (!kept.empty())
    user_error(
        "{}: it changes {} ({}), and gaggle adapts neither head nor embedding; gaggle registry import --drop {} takes "
        "the rest alone",
        files.folder.string(), join(kept, " and "), join(signs, ", "), join(kept, ","));
}

// Where ".math" stands in "….lora_A.math.weight": the name that PEFT gives an adapter inside a model. Empty: none.
std::string_view adapter_part(std::string_view tensor) {
  for (const PeftKind kind : all_peft_kinds)
    for (const std::string_view suffix : form_of(kind).suffixes) {
      const size_t dot = std::min(suffix.find('.', 1), suffix.size());
      if (!tensor.ends_with(suffix.substr(dot))) continue;
      const std::string_view front = tensor.substr(0, tensor.size() - (suffix.size() - dot));
      const size_t last = front.rfind('.');
      if (last != std::string_view::npos && front.substr(0, last).ends_with(suffix.substr(0, dot)))
        return front.substr(last);
    }
  return {};
}

void without_adapter_name(PeftFiles& files) {
  std::set<std::string> names, seen;
  for (TensorView& tensor : files.tensors) {
    if (const std::string_view part = adapter_part(tensor.name); !part.empty()) {
      names.emplace(part.substr(1));
      tensor.name.erase(static_cast<size_t>(part.data() - tensor.name.data()), part.size());
    }
    seen.insert(tensor.name);
  }
  if (names.size() > 1 || seen.size() < files.tensors.size())
    user_error("{}: it holds several adapters ({}): save the one that is meant by itself", files.name(),
               join({names.begin(), names.end()}, ", "));
  if (!names.empty()) files.changes.push_back(fmt::format("\"{}\" taken out of the tensors' names", *names.begin()));
}

// ms-swift's own adapters are PEFT's with more keys, and without the prefix that a PEFT model gives its modules.
void from_swift(PeftFiles& files) {
  const ordered_json& type = value_of(files.config, "swift_type");
  if (!is_set(type)) return;
  const std::string file = (files.folder / "adapter_config.json").string();
  if (text_of(type) != "LORA")
    user_error("{}: swift_type is {}; of ms-swift's adapters LORA is read", file, type.dump());
  for (const char* key : {"use_qa_lora", "use_merged_linear", "enable_lora", "model_key_mapping"})
    if (is_set(value_of(files.config, key)))
      user_error("{}: {} of ms-swift makes another thing than a plain LoRA: not supported", file, key);
  // What only training heeds.
  for (const char* key : {"swift_type", "use_qa_lora", "use_merged_linear", "enable_lora", "model_key_mapping",
                          "lora_dtype", "lorap_lr_ratio", "lorap_emb_lr"})
    files.config.erase(key);
  for (TensorView& tensor : files.tensors)
    if (!tensor.name.starts_with(tensor_prefix)) tensor.name = tensor_prefix + tensor.name;
  files.changes.push_back("from ms-swift's form");
}

NamedTensor transposed(const TensorView& from, std::string name, const std::string& file) {
  if (from.shape.size() != 2)
    user_error("{}: {} is {}; expected a matrix (adapters of switched layers are not supported)", file, from.name,
               shape_text(from.shape));
  const auto rows = static_cast<size_t>(from.shape[0]), columns = static_cast<size_t>(from.shape[1]);
  const size_t width = size_of(from.dtype);
  NamedTensor to{
      std::move(name), from.dtype, {from.shape[1], from.shape[0]}, std::vector<std::byte>(from.bytes.size())};
  for (size_t row = 0; row < rows; ++row)
    for (size_t column = 0; column < columns; ++column)
      std::memcpy(&to.bytes[(column * rows + row) * width], &from.bytes[(row * columns + column) * width], width);
  return to;
}

// mlx-lm's LoRA: y += scale · (x a) b, with a [d_in, r] and b [r, d_out]; the tensors say which modules have one.
void from_mlx(PeftFiles& files) {
  const std::string file = (files.folder / "adapter_config.json").string();
  const ordered_json mlx = std::move(files.config);
  const ordered_json& given = value_of(mlx, "lora_parameters");
  if (const auto& type = value_of(mlx, "fine_tune_type"); is_set(type) && text_of(type) != "lora")
    user_error("{}: fine_tune_type is {}; of MLX's adapters \"lora\" is read", file, type.dump());
  const ordered_json &rank = value_of(given, "rank"), &scale = value_of(given, "scale");
  if (!scale.is_number() || !std::isfinite(scale.get<double>()) || scale.get<double>() <= 0)
    mistyped(file, "lora_parameters.scale", scale, "a number above 0");
  const int64_t r = whole_number(rank, file, "lora_parameters.rank");
  // The first versions multiplied by alpha / rank, all later ones do not look at alpha.
  if (const auto& alpha = value_of(given, "alpha"); is_set(alpha) && alpha != rank)
    user_error(
        "{}: lora_parameters has scale {} and alpha {}, which versions of mlx-lm read differently: take alpha out, and "
        "multiply scale by alpha / rank where it counted",
        file, scale.dump(), alpha.dump());
  std::set<std::string> modules;
  const std::pair<std::string, std::string> forms[] = {{".lora_a", ".lora_A.weight"}, {".lora_b", ".lora_B.weight"}};
  for (const TensorView& tensor : files.tensors) {
    const auto* form = std::ranges::find_if(forms, [&](const auto& ends) { return tensor.name.ends_with(ends.first); });
    if (form == std::end(forms))
      user_error("{}: tensor {} is no part of a LoRA of MLX (<module>.lora_a, .lora_b)", files.name(), tensor.name);
    const std::string module = tensor.name.substr(0, tensor.name.size() - form->first.size());
    modules.insert(module);
    files.made.push_back(transposed(tensor, tensor_name(module, form->second), files.name()));
  }
  files.tensors.clear();
  for (const NamedTensor& tensor : files.made) files.tensors.push_back(tensor.view());
  files.config = {{"base_model_name_or_path", text_of(value_of(mlx, "model"))},
                  {"bias", "none"},
                  {"inference_mode", true},
                  {"lora_alpha", scale.get<double>() * static_cast<double>(r)},
                  {"lora_dropout", 0.0},
                  {"peft_type", "LORA"},
                  {"r", r},
                  {"target_modules", modules},
                  {"task_type", "CAUSAL_LM"}};
  files.changes.push_back("from MLX's form");
}

}  // namespace

bool is_mlx(const ordered_json& config) {
  return !config.contains("peft_type") && (config.contains("lora_parameters") || config.contains("fine_tune_type"));
}

void bring_to_peft(PeftFiles& files, const std::vector<std::string>& drop) {
  if (is_mlx(files.config)) from_mlx(files);
  from_swift(files);
  without_adapter_name(files);
  without_parts(files, drop);
}

DeclaredBase declared_base(const std::string& name) {
  static const std::pair<const char*, const char*> forms[] = {{"-unsloth-bnb-4bit", "4 bits (bitsandbytes)"},
                                                              {"-bnb-4bit", "4 bits (bitsandbytes)"},
                                                              {"-bnb-8bit", "8 bits (bitsandbytes)"},
                                                              {"-4bit", "4 bits"},
                                                              {"-8bit", "8 bits"},
                                                              {"-AWQ", "4 bits (AWQ)"},
                                                              {"-GPTQ-Int4", "4 bits (GPTQ)"},
                                                              {"-GPTQ-Int8", "8 bits (GPTQ)"},
                                                              {"-GPTQ", "few bits (GPTQ)"}};
  DeclaredBase base{name.substr(name.find_last_of('/') + 1), ""};
  for (const auto& [ending, words] : forms)
    if (base.quantised.empty() && base.model.size() > std::strlen(ending) && base.model.ends_with(ending)) {
      base.model.resize(base.model.size() - std::strlen(ending));
      base.quantised = words;
    }
  return base;
}

}  // namespace gaggle
