// Reading a PEFT folder; what is refused by the config alone stands in peft_config.cpp.
#include "formats/peft.h"

#include <algorithm>

#include "base/error.h"
#include "formats/peft_config.h"

namespace gaggle {
namespace {

using namespace peft_parts;

constexpr int64_t any = -1;  // a width, which the config does not tell

struct ExpectedShape {
  std::vector<int64_t> shape;
  const char* words;
};

std::vector<ExpectedShape> expected_shapes(const PeftConfig& c, const PeftSite& site) {
  const int64_t h = c.heads, k = c.skills, r = site.rank;
  const ExpectedShape logits{{c.tasks, h * k}, "[n_tasks, n_splits · n_skills]"};
  switch (c.kind) {
    case PeftKind::lora:
      return {{{r, any}, "[r, d_in]"}, {{any, r}, "[d_out, r]"}};
    case PeftKind::poly:
      return {{{h, k, any, r}, "[n_splits, n_skills, d_in / n_splits, r]"},
              {{h, k, r, any}, "[n_splits, n_skills, r, d_out / n_splits]"},
              logits};
    case PeftKind::ia3:
      if (site.feedforward) return {{{1, any}, "[1, d_in] of a feed-forward module"}};
      return {{{any, 1}, "[d_out, 1]"}};
    case PeftKind::poly_ia3:
      return {{{h, k, any}, "[n_splits, n_skills, width / n_splits]"}, logits};
  }
  return {};
}

std::string sizes_words(const PeftConfig& config, const PeftSite& site) {
  if (config.kind == PeftKind::lora) return fmt::format(" of rank {}", site.rank);
  if (config.tasks == 0) return "";
  return fmt::format(" with n_splits {}, n_skills {}, r {} and n_tasks {}", config.heads, config.skills,
                     site.rank, config.tasks);
}

PeftTensor read_tensor(const TensorView& tensor, ExpectedShape expected, const PeftConfig& config,
                       const PeftSite& site, const std::string& file) {
  for (size_t i = 0; i < expected.shape.size() && i < tensor.shape.size(); ++i)
    if (expected.shape[i] == any && tensor.shape[i] > 0) expected.shape[i] = tensor.shape[i];
  if (tensor.shape != expected.shape)
    user_error("{}: {} is {}; expected {}{} by adapter_config.json", file, tensor.name,
               shape_text(tensor.shape), expected.words, sizes_words(config, site));
  return {tensor.shape, values_of(tensor, file)};
}

PeftSite read_site(const std::string& module, const Parts& parts, const PeftConfig& config,
                   const std::string& file) {
  if (!targets(config, module))
    user_error("{}: {} has tensors, but target_modules of adapter_config.json does not name it", file, module);
  PeftSite site;
  site.site = module;
  if (config.kind == PeftKind::lora) site.scale = scale_of(config, module);
  if (config.kind == PeftKind::lora || config.kind == PeftKind::poly) site.rank = rank_of(config, module);
  site.feedforward = config.feedforward_modules.matches(module);
  const std::vector<ExpectedShape> expected = expected_shapes(config, site);
  for (size_t i = 0; i < parts.size(); ++i)
    site.tensors.push_back(read_tensor(*parts[i], expected[i], config, site, file));
  return site;
}

}  // namespace

PeftBase peft_base(const ModelSpec& spec) {
  return {spec.name, spec.encoder_decoder() ? "SEQ_2_SEQ_LM" : "CAUSAL_LM"};
}

PeftWidths widths_of(const PeftAdapter& adapter, const PeftSite& site) {
  const auto& first = site.tensors[0].shape;
  switch (adapter.kind) {
    case PeftKind::lora:
      return {first[1], site.tensors[1].shape[0]};
    case PeftKind::poly:
      return {adapter.heads * first[2], adapter.heads * site.tensors[1].shape[3]};
    default:
      break;
  }
  const auto width = static_cast<int64_t>(site.tensors[0].values.size()) / adapter.skills;
  return site.feedforward ? PeftWidths{width, 0} : PeftWidths{0, width};
}

PeftAdapter read_peft(const fs::path& folder, const std::vector<PeftKind>& kinds) {
  const PeftConfig config = parse_peft_config(read_config(folder), (folder / config_file).string(), kinds);
  const SafetensorsFile file = open_tensors(folder);
  for (const TensorView& tensor : file.tensors())
    if (tensor.name.find("lora_magnitude_vector") != std::string::npos)
      user_error("{}: tensor {} belongs to DoRA, which is not supported", file.name(), tensor.name);
  PeftAdapter adapter{config.kind,  config.base, common_dtype(file.tensors()), config.tasks, config.skills,
                      config.heads, {}};
  for (const auto& [module, parts] : by_module(file, form_of(config.kind)))
    adapter.sites.push_back(read_site(module, parts, config, file.name()));
  return adapter;
}

void read_gates(const fs::path& file, PeftAdapter& lora) {
  const SafetensorsFile gates(file);
  for (const TensorView& gate : gates.tensors()) {
    const auto site =
        std::ranges::find_if(lora.sites, [&](const PeftSite& s) { return gate.name == s.site + gate_suffix; });
    if (site == lora.sites.end())
      user_error("{}: gate {} belongs to no site of this expert (\"<module path>.gate\")", file.string(),
                 gate.name);
    const int64_t width = widths_of(lora, *site).in;
    if (gate.dtype != DType::f32 || gate.shape != std::vector<int64_t>{width})
      user_error("{}: gate {} is {} {}; expected F32 [{}], the site's width", file.string(), gate.name,
                 name_of(gate.dtype), shape_text(gate.shape), width);
    site->gate = values_of(gate, file.string());
  }
}

}  // namespace gaggle
