// Experts as changes of the base's weights against dense matrices: mixed ranks and scales, sites that some do not have.
#include "library/expert_products.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace gaggle {
namespace {

struct SiteShape {
  std::string name;
  int64_t d_in, d_out;
};
const std::vector<SiteShape> shapes = {{"layers.0.q_proj", 6, 4}, {"layers.0.up", 4, 9}, {"layers.1.up", 4, 9}};

PeftAdapter lora_at(const std::vector<size_t>& where, const std::vector<int64_t>& ranks, double scale) {
  PeftAdapter lora;
  for (size_t i = 0; i < where.size(); ++i) {
    const SiteShape& shape = shapes[where[i]];
    PeftSite& site = lora.sites.emplace_back();
    site.site = shape.name, site.rank = ranks[i], site.scale = scale * static_cast<double>(i + 1);
    for (const auto& size : {std::vector<int64_t>{ranks[i], shape.d_in}, std::vector<int64_t>{shape.d_out, ranks[i]}}) {
      const at::Tensor values = at::randn(size);
      site.tensors.push_back({size, {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()}});
    }
  }
  return lora;
}

// All weights one after the other, 0 where the expert has no site.
at::Tensor dense(const PeftAdapter& lora) {
  std::vector<at::Tensor> parts;
  for (const SiteShape& shape : shapes) {
    at::Tensor change = at::zeros({shape.d_out, shape.d_in}, at::kDouble);
    for (const PeftSite& site : lora.sites) {
      if (site.site != shape.name) continue;
      const auto matrix = [](const PeftTensor& t) { return at::tensor(t.values).view(t.shape).to(at::kDouble); };
      change = site.scale * at::mm(matrix(site.tensors[1]), matrix(site.tensors[0]));
    }
    parts.push_back(change.flatten());
  }
  return at::cat(parts);
}

TEST(ExpertProducts, EqualThoseOfDenseMatrices) {
  at::manual_seed(7);
  const std::vector<PeftAdapter> loras = {lora_at({0, 1, 2}, {3, 1, 2}, 0.5), lora_at({1}, {4}, 2),
                                          lora_at({0, 2}, {2, 5}, 0.1), lora_at({}, {}, 1)};
  std::vector<at::Tensor> rows;
  for (const PeftAdapter& lora : loras) rows.push_back(dense(lora));
  const at::Tensor all = at::stack(rows), expected = at::mm(all, all.t());
  const std::vector<std::string> names = {"a", "b", "c", "d"};
  const at::Tensor ours = expert_products(loras, names);
  EXPECT_LT((ours - expected).abs().max().item<double>(), 1e-12 * expected.abs().max().item<double>());
  EXPECT_GT(ours[0][1].abs().item<double>(), 1e-3);
  EXPECT_EQ(ours[1][2].item<double>(), 0);  // no site in common
}

TEST(ExpertProducts, ExpertsOfDifferentBasesAreNamed) {
  std::vector<PeftAdapter> loras = {lora_at({0, 1}, {2, 2}, 1), lora_at({1}, {2}, 1)};
  loras[1].sites[0].tensors[0] = {{2, 5}, std::vector<float>(10)};
  const std::vector<std::string> names = {"tomi", "sarcasm"};
  try {
    expert_products(loras, names);
    FAIL();
  } catch (const UserError& error) {
    for (const char* word : {"tomi", "sarcasm", "layers.0.up", "4 wide in", "5"})
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gaggle
