// Nothing that is not finite comes into a registry or leaves it, and verify finds what is there; gates for every site.
#include <cmath>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "made.h"
#include "registry/export.h"
#include "registry/import.h"
#include "registry/sums.h"

namespace gaggle {
namespace {

using made::Folder;

std::string refusal_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

std::vector<NamedTensor> with_value(std::vector<NamedTensor> tensors, size_t tensor, size_t place, float value) {
  std::memcpy(tensors[tensor].bytes.data() + place * sizeof(float), &value, sizeof(float));
  return tensors;
}

TEST(Finite, NothingElseIsCommitted) {
  const Folder folder;
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  NewVersion bad = made::expert("bad", "k1", 1);
  bad.files[adapter_file] = tensor_file_bytes(with_value(made::lora(1), 1, 5, INFINITY));
  EXPECT_THROW(registry.commit(bad), NotFinite);
  bad = made::expert("bad", "k1", 1);
  bad.files[gate_file] = tensor_file_bytes(with_value(made::gates(1), 0, 2, NAN));
  const std::string head =
      "expert bad is not finite and is not stored (lower the learning rate, or set registry.dtype = \"fp32\"): ";
  EXPECT_EQ(refusal_of([&] { registry.commit(bad); }),
            head + "gate.safetensors: tensor " + made::site + ".gate is NaN at [2]");
  bad = made::expert("bad", "k1", 1);
  bad.sidecar["metrics"] = {{"validation_loss", 1.0}, {"loss_by_task", {{"copy", NAN}}}};
  EXPECT_EQ(refusal_of([&] { registry.commit(bad); }), head + "metrics/loss_by_task/copy");
  EXPECT_TRUE(registry.list(Kind::expert).empty());
  bad.sidecar["metrics"] = {{"validation_loss", nullptr}};  // of a task without validation examples
  EXPECT_EQ(registry.commit(bad), "v0001");
}

TEST(Finite, ImportsNameTensorAndPlace) {
  const Folder folder;
  const fs::path peft = folder.path / "peft";
  const auto refusal = [&] { return refusal_of([&] { read_import(peft, "in", std::nullopt); }); };
  made::write_peft_folder(peft, made::config, tensor_file_bytes(with_value(made::lora(1), 0, 6, NAN)));
  EXPECT_NE(refusal().find(std::string(made::site) + ".lora_A.weight is NaN at [1, 2]"), std::string::npos);
  made::write_peft_folder(peft, made::config, tensor_file_bytes(made::lora(1)));
  write_file_durable(peft / gate_file, tensor_file_bytes(with_value(made::gates(1), 0, 0, -INFINITY)));
  EXPECT_NE(refusal().find(std::string(made::site) + ".gate is infinite at [0]"), std::string::npos);
  write_file_durable(peft / gate_file, tensor_file_bytes(made::gates(1)));
  EXPECT_EQ(refusal(), "accepted");
}

TEST(Finite, VerifyFindsWhatIsThere) {
  const Folder folder;
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  registry.commit(made::expert("old", "k1", 1));
  const fs::path version = registry.load(Kind::expert, "old").folder;
  write_file_durable(version / adapter_file, tensor_file_bytes(with_value(made::lora(1), 0, 1, NAN)));
  write_file_durable(version / sums_file, sums_text(version));
  const auto complaints = registry.verify();
  ASSERT_EQ(complaints.size(), 1u);
  EXPECT_EQ(complaints[0], fmt::format("{}: tensor base_model.model.{}.lora_A.weight is NaN at [0, 1]",
                                       (version / adapter_file).string(), made::site));
  EXPECT_THROW(export_version(registry, "old", {folder.path / "out"}), NotFinite);
  EXPECT_FALSE(fs::exists(folder.path / "out"));
}

TEST(Import, GatesFitTheSites) {
  const Folder folder;
  const fs::path peft = folder.path / "peft";
  const auto with_gates = [&](const std::string& name, int64_t width) {
    made::write_peft_folder(peft, made::config, tensor_file_bytes(made::lora(1)));
    const std::vector<float> values(static_cast<size_t>(width), 1.0f);
    std::vector<NamedTensor> gates;
    if (!name.empty()) gates.push_back(from_float(name, {width}, values, DType::f32));
    write_file_durable(peft / gate_file, tensor_file_bytes(gates));
    return refusal_of([&] { read_import(peft, "in", std::nullopt); });
  };
  const std::string gate = std::string(made::site) + ".gate";
  EXPECT_EQ(with_gates(gate, 4), "accepted");
  EXPECT_NE(with_gates(gate, 7).find("expected F32 [4]"), std::string::npos);
  EXPECT_NE(with_gates("model.layers.9.up_proj.gate", 4).find("belongs to no site"), std::string::npos);
  EXPECT_NE(with_gates("", 0).find("has no gate"), std::string::npos);
}

TEST(Import, SaysWhatMayNotBeMeant) {
  const Folder folder;
  const fs::path peft = folder.path / "peft";
  const std::string other = "model.layers.1.self_attn.q_proj";
  const BaseShapes base{made::base, {{std::string(made::site) + ".weight", {4, 4}}, {other + ".weight", {4, 4}}}};
  const auto said = [&](const std::string& config, float value, const std::optional<BaseShapes>& shapes) {
    made::write_peft_folder(peft, config, tensor_file_bytes(made::lora(value)));
    testing::internal::CaptureStderr();
    read_import(peft, "in", shapes);
    return testing::internal::GetCapturedStderr();
  };
  const auto config = [](const std::string& targets, const std::string& of) {
    return R"({"peft_type":"LORA","r":2,"target_modules":)" + targets + R"(,"base_model_name_or_path":")" + of + "\"}";
  };
  EXPECT_EQ(said(config(R"(["q_proj"])", "Owner/Tiny"), 1, std::nullopt), "");
  EXPECT_EQ(said(config(R"(["layers.0.self_attn.q_proj"])", "Owner/Tiny"), 1, base), "");
  EXPECT_NE(said(config(R"(["q_proj"])", ""), 0, std::nullopt).find("lora_B is zero at 1 of 1 sites"),
            std::string::npos);
  EXPECT_NE(said(config(R"(["q_proj","k_proj"])", ""), 1, std::nullopt).find("(k_proj)"), std::string::npos);
  EXPECT_NE(said(config(R"(["q_proj"])", ""), 1, base).find("(" + other + ")"), std::string::npos);
  EXPECT_NE(said(config("\".*q_proj\"", "Owner/Tiny-2"), 1, base).find("made for Owner/Tiny-2"), std::string::npos);
}

TEST(Export, TheScaleMayLieInB) {
  const Folder folder;
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  PeftAdapter lora;
  lora.dtype = DType::bf16;
  for (const int64_t rank : {1, 2}) {
    PeftSite& site = lora.sites.emplace_back();
    site.site = fmt::format("model.layers.{}.self_attn.q_proj", rank);
    site.rank = rank;
    site.scale = 3.0 * static_cast<double>(rank);
    const auto r = static_cast<size_t>(rank);
    site.tensors = {{{rank, 3}, std::vector<float>(3 * r, 1)}, {{2, rank}, std::vector<float>(2 * r, 0.5f)}};
  }
  NewVersion version{Kind::expert, "mixed", "k", {}, {}, {{"task", "made"}}};
  version.files[adapter_config_file] = peft_config_json(lora, {});
  version.files[adapter_file] = tensor_file_bytes(peft_tensors(lora, DType::bf16));
  registry.commit(version);

  export_scale_in_b(registry, "mixed", {folder.path / "out"});
  const auto config = nlohmann::json::parse(read_file(folder.path / "out" / adapter_config_file));
  EXPECT_EQ(config["r"], 2);
  EXPECT_EQ(config["lora_alpha"], 2);
  EXPECT_TRUE(config["rank_pattern"].empty() && config["alpha_pattern"].empty());
  const PeftAdapter out = read_peft(folder.path / "out");
  EXPECT_EQ(out.sites[0].tensors[0].values, (std::vector<float>{1, 1, 1, 0, 0, 0}));
  EXPECT_EQ(out.sites[0].tensors[1].values, (std::vector<float>{1.5f, 0, 1.5f, 0}));
  EXPECT_EQ(out.sites[1].tensors[1].values, std::vector<float>(4, 3.0f));
  EXPECT_EQ(out.sites[1].scale, 1);
}

}  // namespace
}  // namespace gaggle
