#include "alignment/sketch.h"

#include "base/error.h"
#include "base/philox.h"

namespace gaggle {
namespace {

// One Philox block serves four coordinates: of each word the top bit is the sign, the rest the bucket.
at::Tensor make_buckets(uint64_t seed, const AlignedSite& site, int64_t copies, int64_t dims) {
  at::Tensor buckets = at::empty({copies, site.size()}, at::kInt);
  for (int64_t k = 0; k < copies; ++k) {
    const uint64_t key = random_key("sketch", {seed, name_number(site.name), static_cast<uint64_t>(k)});
    int32_t* to = buckets.mutable_data_ptr<int32_t>() + k * site.size();
    std::array<uint32_t, 4> words{};
    for (int64_t i = 0; i < site.size(); ++i) {
      if (i % 4 == 0)
        words = philox4x32({static_cast<uint32_t>(i / 4), static_cast<uint32_t>((i / 4) >> 32), 0, 0},
                           {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)});
      const uint32_t word = words[static_cast<size_t>(i % 4)];
      const uint64_t bucket = (uint64_t{word & 0x7fffffff} * static_cast<uint64_t>(dims)) >> 31;
      to[i] = static_cast<int32_t>(bucket + (word >> 31) * static_cast<uint64_t>(dims));
    }
  }
  return buckets;
}

AlignedSite slot_like(const AlignedSite& site, int64_t offset, int64_t dims) {
  return {site.name, site.kind, site.layer, 1, 1, dims, 0, offset};
}

size_t slot_of(const SketchPlan& plan, size_t site) { return plan.slots.size() == 1 ? 0 : site; }

}  // namespace

bool exact_fits(int64_t tasks, int64_t values, int64_t memory_bytes) { return tasks * values * 4 * 2 <= memory_bytes; }

SketchPlan plan_sketch(std::vector<AlignedSite> sites, Slots slots, int64_t dims, bool weighted, uint64_t seed,
                       at::Device device) {
  const auto count = static_cast<int64_t>(sites.size());
  const int64_t values = values_of(sites);
  if (dims < (slots == Slots::one ? 1 : count) || dims > (int64_t{1} << 30))
    user_error("alignment.sketch = {}: expected at least one dimension for each of the {} sites, at most 2^30", dims,
               count);
  SketchPlan plan{std::move(sites), {}, dims, weighted, {}};
  if (slots == Slots::one) {
    plan.slots.push_back(slot_like({"all sites", "", 0}, 0, dims));
  } else {
    const auto begin_of = [&](int64_t site, int64_t before) {
      return site + static_cast<int64_t>(static_cast<double>(dims - count) * static_cast<double>(before) /
                                         static_cast<double>(values));
    };
    for (int64_t s = 0; s < count; ++s) {
      const AlignedSite& site = plan.sites[static_cast<size_t>(s)];
      const int64_t begin = begin_of(s, site.offset);
      plan.slots.push_back(slot_like(site, begin, begin_of(s + 1, site.offset + site.size()) - begin));
    }
  }
  for (size_t s = 0; s < plan.sites.size(); ++s)
    plan.buckets.push_back(
        make_buckets(seed, plan.sites[s], weighted ? plan.sites[s].skills : 1, plan.slots[slot_of(plan, s)].a_size)
            .to(device));
  return plan;
}

void add_to_sketch(const SketchPlan& plan, size_t site, const at::Tensor& gradient, const at::Tensor& weights,
                   at::Tensor sketch) {
  const AlignedSite& from = plan.sites[site];
  const AlignedSite& slot = plan.slots[slot_of(plan, site)];
  GAGGLE_CHECK(gradient.numel() == from.size() && sketch.numel() == plan.dims, "{}", from.name);
  const at::Tensor& buckets = plan.buckets[site];
  at::Tensor signs_apart = at::zeros({2 * slot.a_size}, sketch.options());
  if (!plan.weighted) {
    signs_apart.index_add_(0, buckets[0], gradient.flatten());
  } else {
    const int64_t a = from.heads * from.a_size, b = from.heads * from.b_size;
    const at::Tensor flat = gradient.flatten(), w = weights.to(sketch.options());
    const at::Tensor a_part = flat.narrow(0, 0, a).view({from.heads, from.a_size});
    const at::Tensor b_part = flat.narrow(0, a, b).view({from.heads, from.b_size});
    for (int64_t k = 0; k < from.skills; ++k) {
      const at::Tensor w_k = w.narrow(1, k, 1);
      signs_apart.index_add_(0, buckets[k], at::cat({(a_part * w_k).flatten(), (b_part * w_k).flatten()}));
    }
  }
  sketch.narrow(0, slot.offset, slot.a_size)
      .add_(signs_apart.narrow(0, 0, slot.a_size))
      .sub_(signs_apart.narrow(0, slot.a_size, slot.a_size));
}

at::Tensor sketch_of(const SketchPlan& plan, const at::Tensor& gradients, std::span<const at::Tensor> weights) {
  at::Tensor sketches = at::zeros({gradients.size(0), plan.dims}, gradients.options());
  for (size_t s = 0; s < plan.sites.size(); ++s) {
    const at::Tensor of_site = gradients.narrow(1, plan.sites[s].offset, plan.sites[s].size());
    for (int64_t t = 0; t < gradients.size(0); ++t)
      add_to_sketch(plan, s, of_site[t], plan.weighted ? weights[s][t] : at::Tensor(), sketches[t]);
  }
  return sketches;
}

at::Tensor cosine_errors(const at::Tensor& grams, std::span<const AlignedSite> slots, std::span<const size_t> chosen) {
  at::Tensor variance = at::zeros_like(grams[0]), norms = at::zeros_like(grams[0].diagonal());
  for (const size_t s : chosen) {
    const at::Tensor gram = grams[static_cast<int64_t>(s)];
    const at::Tensor squares = gram.diagonal();
    variance += (at::outer(squares, squares) + gram * gram) / static_cast<double>(slots[s].size());
    norms += squares;
  }
  return (variance / at::outer(norms, norms)).sqrt();
}

double typical_error(const at::Tensor& errors) {
  const int64_t tasks = errors.size(0);
  const at::Tensor pairs = at::masked_select(errors, at::ones({tasks, tasks}, at::kBool).triu(1));
  const at::Tensor known = at::masked_select(pairs, at::isnan(pairs).logical_not());
  return (known * known).mean().sqrt().item<double>();  // of nothing: NaN
}

}  // namespace gaggle
