#include "library/stored_experts.h"

#include <ATen/Parallel.h>

#include "base/error.h"
#include "base/sha256.h"
#include "formats/peft_parts.h"
#include "formats/safetensors.h"
#include "registry/sums.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

// In the tensors' own memory: the file's is given back.
LowRank pair_of(const at::Tensor& a, const at::Tensor& b, double scale, at::ScalarType dtype) {
  return {a.to(dtype, /*non_blocking=*/false, /*copy=*/true),
          b.to(dtype).t().clone(at::MemoryFormat::Contiguous).t(),
          scale,
          {}};
}

at::Tensor view_of(const TensorView& view) {
  const at::ScalarType type = view.dtype == DType::bf16  ? at::kBFloat16
                              : view.dtype == DType::f16 ? at::kHalf
                                                         : at::kFloat;
  return at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape, type);
}

// Files of older registries may have another form, which is brought to PEFT's whenever they are read.
std::vector<LowRank> read_by_form(const StoredCollection& stored, size_t z) {
  const Lora expert = read_pinned(stored.members.name, stored.members.experts[z], stored.sites);
  const ParameterLayout layout = lora_layout(expert.sites);
  std::vector<LowRank> pairs(stored.sites.size());
  for (const LoraSite& s : expert.sites)
    pairs[static_cast<size_t>(s.site.index)] =
        pair_of(layout.view(expert.values, s.site.name + ".lora_A"),
                layout.view(expert.values, s.site.name + ".lora_B"), s.scale, stored.dtype);
  return pairs;
}

class StoredExperts : public ExpertSource {
 public:
  StoredExperts(StoredCollection stored, CollectionIndex index, bool keep)
      : stored_(std::move(stored)), index_(std::move(index)), keep_(keep), read_(stored_.members.experts.size()) {}

  std::vector<std::vector<LowRank>> pairs(std::span<const size_t> experts) override {
    std::vector<std::vector<LowRank>> found(experts.size());
    at::parallel_for(0, static_cast<int64_t>(experts.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        std::vector<LowRank>& pairs = read_[experts[i]];
        if (pairs.empty()) pairs = read_pairs(stored_, index_, experts[i]);
        found[i] = pairs;
      }
    });
    return found;
  }

  const std::vector<SiteCandidates>& gated() override { return index_.gated; }

  // What is read for the directions is given back, so that memory holds only what tokens take.
  const std::vector<SiteCandidates>& arrows() override {
    if (arrows_.empty())
      arrows_ = arrows_of(stored_, index_, keep_,
                          [&](size_t z) { return read_[z].empty() ? read_pairs(stored_, index_, z) : read_[z]; });
    return arrows_;
  }

 private:
  StoredCollection stored_;
  CollectionIndex index_;
  bool keep_;
  std::vector<std::vector<LowRank>> read_;  // [N][sites]
  std::vector<SiteCandidates> arrows_;
};

}  // namespace

std::vector<LowRank> read_pairs(const StoredCollection& stored, const CollectionIndex& index, size_t expert) {
  using namespace peft_parts;
  const Version& version = stored.members.experts[expert];
  const MappedFile file(file_of(version, adapter_file));
  if (Sha256().update(file.bytes()).hex() != read_sums(version.folder)[adapter_file])
    user_error("collection {}: {}: its bytes are not those that were committed (SHA256SUMS)", stored.members.name,
               file.path().string());
  const SafetensorsFile tensors(file.bytes(), file.path().string());
  const auto ranks = index.ranks.accessor<double, 2>(), scales = index.scales.accessor<double, 2>();
  const std::vector<std::string>& suffixes = form_of(PeftKind::lora).suffixes;
  std::vector<LowRank> pairs(stored.sites.size());
  for (size_t s = 0; s < pairs.size(); ++s) {
    const auto row = static_cast<int64_t>(expert), column = static_cast<int64_t>(s);
    if (ranks[row][column] == 0) continue;
    const TensorView* a = tensors.find(tensor_name(stored.sites[s].name, suffixes[0]));
    const TensorView* b = tensors.find(tensor_name(stored.sites[s].name, suffixes[1]));
    if (!a || !b) return read_by_form(stored, expert);
    pairs[s] = pair_of(view_of(*a), view_of(*b), scales[row][column], stored.dtype);
  }
  return pairs;
}

std::shared_ptr<ExpertSource> stored_experts(StoredCollection stored, CollectionIndex index, bool keep) {
  return std::make_shared<StoredExperts>(std::move(stored), std::move(index), keep);
}

}  // namespace gaggle
