// The mean of experts as one LoRA against the dense mean and its singular values: unlike ranks, scales and sites.
#include "library/merged.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace gaggle {
namespace {

PeftTensor drawn(at::IntArrayRef shape) {
  const at::Tensor values = at::randn(shape);
  return {shape.vec(), {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()}};
}

// d_in 12, d_out 9 at "a.up"; 5 and 30 at "b.down".
PeftSite site_of(const std::string& name, int64_t rank, double scale) {
  const int64_t in = name == "a.up" ? 12 : 5, out = name == "a.up" ? 9 : 30;
  return {name, rank, scale, false, {drawn({rank, in}), drawn({out, rank})}, {}};
}

PeftAdapter lora_of(std::vector<PeftSite> sites) {
  PeftAdapter lora;
  lora.sites = std::move(sites);
  return lora;
}

// Together more than a.up is wide, and less than b.down is; the third has no b.down.
std::vector<PeftAdapter> three() {
  at::manual_seed(3);
  return {lora_of({site_of("a.up", 2, 0.5), site_of("b.down", 1, 2)}),
          lora_of({site_of("a.up", 7, -1.5), site_of("b.down", 3, 0.25)}), lora_of({site_of("a.up", 4, 1)})};
}

at::Tensor tensor_of(const PeftTensor& tensor) { return at::tensor(tensor.values).view(tensor.shape).to(at::kDouble); }

at::Tensor product(const PeftSite& site) {
  return at::matmul(tensor_of(site.tensors[1]), tensor_of(site.tensors[0])) * site.scale;
}

at::Tensor dense_mean(const std::vector<PeftAdapter>& experts, const std::string& name) {
  at::Tensor sum;
  for (const PeftAdapter& expert : experts)
    for (const PeftSite& site : expert.sites)
      if (site.site == name) sum = sum.defined() ? sum + product(site) : product(site);
  return sum / static_cast<double>(experts.size());
}

double apart(const at::Tensor& ours, const at::Tensor& exact) {
  return ((ours - exact).norm() / exact.norm()).item<double>();
}

const std::vector<std::string> three_names = {"a", "b", "c"};

TEST(MeanExpert, IsTheDenseMeanAtItsOwnRank) {
  const std::vector<PeftAdapter> experts = three();
  const MergedLora merged = mean_expert(experts, three_names, 0);
  ASSERT_EQ(merged.lora.sites.size(), 2u);
  EXPECT_EQ(merged.energy.rank, 9);  // of a.up: 2 + 7 + 4, but no more than it is wide
  for (const PeftSite& site : merged.lora.sites) {
    EXPECT_EQ(site.rank, 9);
    EXPECT_EQ(site.scale, 1);
    EXPECT_LT(apart(product(site), dense_mean(experts, site.site)), 1e-6) << site.site;
  }
  const at::Tensor a = tensor_of(merged.lora.sites[1].tensors[0]);  // of rank 4, padded
  EXPECT_GT(a.narrow(0, 0, 4).abs().amin(1).min().item<double>(), 0);
  EXPECT_EQ(a.narrow(0, 4, 5).abs().max().item<double>(), 0);
  EXPECT_DOUBLE_EQ(merged.energy.share(), 1);
}

TEST(MeanExpert, OfALowerRankKeepsTheLargestSingularValues) {
  const std::vector<PeftAdapter> experts = three();
  for (const int64_t rank : {1, 3, 6}) {
    const MergedLora merged = mean_expert(experts, three_names, rank);
    double all = 0, kept = 0, worst = 2;
    std::string worst_site;
    for (const PeftSite& site : merged.lora.sites) {
      const at::Tensor mean = dense_mean(experts, site.site);
      const at::Tensor squares = at::linalg_svdvals(mean).square();
      const int64_t count = std::min(rank, squares.size(0));
      const double of_all = squares.sum().item<double>(), of_kept = squares.narrow(0, 0, count).sum().item<double>();
      all += of_all, kept += of_kept;
      if (of_kept / of_all < worst) worst = of_kept / of_all, worst_site = site.site;
      EXPECT_EQ(site.rank, rank);
      EXPECT_NEAR((mean - product(site)).square().sum().item<double>(), of_all - of_kept, 1e-5 * of_all);
    }
    EXPECT_NEAR(merged.energy.share(), kept / all, 1e-12);
    EXPECT_NEAR(merged.worst.share(), worst, 1e-12);
    EXPECT_EQ(merged.worst_site, worst_site);
  }
}

TEST(MeanExpert, OfExpertsThatCancelIsZero) {
  std::vector<PeftAdapter> experts = {three()[1], three()[1]};
  for (PeftSite& site : experts[1].sites) site.scale = -site.scale;
  const MergedLora merged = mean_expert(experts, std::span(three_names).first(2), 0);
  for (const PeftSite& site : merged.lora.sites) {
    EXPECT_EQ(site.rank, 1);
    EXPECT_LT(product(site).norm().item<double>(), 1e-12);
  }
}

TEST(MeanExpert, HasTheSameBitsOnAnyNumberOfThreads) {
  const int threads = at::get_num_threads();
  std::vector<std::vector<float>> values;
  for (const int n : {1, 2, 3}) {
    at::set_num_threads(n);
    values.emplace_back();
    const MergedLora merged = mean_expert(three(), three_names, 3);
    for (const PeftSite& site : merged.lora.sites)
      for (const PeftTensor& tensor : site.tensors)
        values.back().insert(values.back().end(), tensor.values.begin(), tensor.values.end());
  }
  at::set_num_threads(threads);
  EXPECT_EQ(values[1], values[0]);
  EXPECT_EQ(values[2], values[0]);
}

}  // namespace
}  // namespace gaggle
