// Inventories and routing rows: round trips, keys, parents, names of several kinds, import, export, verify.
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "made.h"
#include "registry/export.h"
#include "registry/import.h"
#include "registry/sums.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

using made::Folder;

Registry open_made(const Folder& folder) { return Registry::open(folder.path / "r", made::base, true); }

void flip_last_byte(const fs::path& file) {
  std::string bytes = read_file(file);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file_durable(file, bytes);
}

template <class Body>
std::string refusal_of(Body body) {
  try {
    body();
  } catch (const UserError& error) {
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

TEST(Inventories, CommitLoadsBack) {
  const Folder folder;
  Registry registry = open_made(folder);
  EXPECT_EQ(registry.commit(made::inventory("mhr", "k1", 0.5f)), "v0001");
  const Version version = registry.load(Kind::inventory, "mhr");
  EXPECT_EQ(version.pin() + " " + key_of(version.folder, version.kind), "mhr@v0001 k1");
  EXPECT_EQ(tasks_of(version), (std::vector<std::string>{"add", "copy"}));
  EXPECT_EQ(digest_of(version), sums_digest(version.folder));
  const PeftAdapter skills = read_adapter(version);
  ASSERT_EQ(skills.sites.size(), 1u);
  EXPECT_EQ(skills.sites[0].tensors[0].values, made::poly(0.5f).sites[0].tensors[0].values);
  EXPECT_EQ(skills.heads, 2);
  const nlohmann::json json = read_sidecar(version);
  EXPECT_EQ(json["poly"], nlohmann::json({{"rank", 1}, {"sites", 1}, {"tasks", 2}, {"skills", 3}, {"heads", 2}}));
  EXPECT_EQ(json["origin"], "trained");
  EXPECT_TRUE(version.current);
  EXPECT_TRUE(registry.verify().empty());
}

TEST(Inventories, SameKeyIsCommittedOnceAnotherKeyIsANewVersion) {
  const Folder folder;
  Registry registry = open_made(folder);
  EXPECT_EQ(registry.commit(made::inventory("mhr", "k1", 1)), "v0001");
  EXPECT_EQ(registry.commit(made::inventory("mhr", "k1", 1)), "v0001");
  EXPECT_EQ(registry.commit(made::inventory("mhr", "k2", 2)), "v0002");
  EXPECT_EQ(registry.find(Kind::inventory, "mhr")->version, "v0002");
  EXPECT_EQ(registry.find_key(Kind::inventory, "mhr", "k1")->version, "v0001");
  EXPECT_FALSE(registry.find_key(Kind::inventory, "mhr", "k3"));
  EXPECT_FALSE(registry.find(Kind::inventory, "poly"));
  registry.make_current(Kind::inventory, "mhr", "v0001");
  EXPECT_EQ(registry.load(Kind::inventory, "mhr").version, "v0001");
  EXPECT_EQ(read_adapter(registry.load(Kind::inventory, "mhr@v0002")).sites[0].tensors[0].values[0], 2);
  EXPECT_EQ(registry.list(Kind::inventory).size(), 2u);
  EXPECT_TRUE(registry.list(Kind::expert).empty());
}

TEST(Inventories, VectorsForAllTasksAreRead) {
  const Folder folder;
  Registry registry = open_made(folder);
  NewVersion ia3 = made::inventory("ia3", "k", 1);
  ia3.files[adapter_config_file] = R"({"peft_type":"IA3","target_modules":["x"],"feedforward_modules":[]})";
  ia3.files[adapter_file] =
      tensor_file_bytes({from_float("base_model.model.x.ia3_l", {4, 1}, std::vector<float>(4, 1.0f), DType::f32)});
  registry.commit(ia3);
  const PeftAdapter read = read_adapter(registry.load(Kind::inventory, "ia3"));
  EXPECT_EQ(read.kind, PeftKind::ia3);
  ASSERT_EQ(read.sites.size(), 1u);
  EXPECT_EQ(read.sites[0].tensors[0].values, std::vector<float>(4, 1.0f));
  EXPECT_TRUE(registry.verify().empty());
}

TEST(RoutingRows, NameTheirParentAndItsDigest) {
  const Folder folder;
  Registry registry = open_made(folder);
  EXPECT_NE(
      refusal_of([&] { registry.commit(made::routing_row(registry, "new", "z1", "mhr", 1)); }).find("no inventory"),
      std::string::npos);
  registry.commit(made::inventory("mhr", "k1", 1));
  EXPECT_EQ(registry.commit(made::routing_row(registry, "new", "z1", "mhr", 1)), "v0001");
  EXPECT_EQ(registry.commit(made::routing_row(registry, "new", "z1", "mhr", 1)), "v0001");
  EXPECT_EQ(registry.commit(made::routing_row(registry, "new", "z2", "mhr@v0001", 2)), "v0002");
  registry.commit(made::inventory("mhr", "k2", 2));  // what CURRENT is later does not matter
  const Version row = registry.load(Kind::routing_row, "new");
  EXPECT_EQ(row.version + " " + key_of(row.folder, row.kind), "v0002 z2");
  EXPECT_EQ(parent_of(registry, row).pin(), "mhr@v0001");
  const std::vector<NamedTensor> tensors = read_routing_row(row);
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors[0].name, made::site);
  EXPECT_EQ(tensors[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(registry.find_key(Kind::routing_row, "new", "z1")->version, "v0001");
  EXPECT_EQ(registry.list(Kind::routing_row).size(), 2u);
  EXPECT_TRUE(registry.verify().empty());
}

TEST(RoutingRows, WithoutTheirParentAreRefusedWithBothNames) {
  const Folder folder;
  Registry registry = open_made(folder);
  registry.commit(made::inventory("mhr", "k1", 1));
  registry.commit(made::routing_row(registry, "new", "z1", "mhr", 1));
  const fs::path parent = folder.path / "r" / "inventories" / "mhr" / "v0001";

  // Sound in itself, but with other skills than those that the routing row was made for.
  write_file_durable(parent / "adapter_model.safetensors", made::inventory("mhr", "", 7).files[adapter_file]);
  write_file_durable(parent / "SHA256SUMS", sums_text(parent));
  const std::string changed = refusal_of([&] { parent_of(registry, registry.load(Kind::routing_row, "new")); });
  for (const char* words : {"new@v0001", "another mhr@v0001"}) EXPECT_NE(changed.find(words), std::string::npos);
  EXPECT_EQ(registry.verify(), std::vector<std::string>{changed});

  fs::remove_all(parent.parent_path());
  const std::string gone = refusal_of([&] { parent_of(registry, registry.load(Kind::routing_row, "new")); });
  for (const char* words : {"new@v0001", "mhr@v0001, which is not there"})
    EXPECT_NE(gone.find(words), std::string::npos) << gone;
  EXPECT_EQ(registry.verify().size(), 1u);
}

TEST(RoutingRows, KeepTheirParentFromBeingRemoved) {
  const Folder folder;
  Registry registry = open_made(folder);
  registry.commit(made::inventory("mhr", "k1", 1));
  registry.commit(made::inventory("mhr", "k2", 2));
  registry.commit(made::routing_row(registry, "new", "z1", "mhr@v0001", 1));
  const std::string why = refusal_of([&] { registry.remove("mhr"); });
  EXPECT_NE(why.find("mhr is the parent of new@v0001"), std::string::npos) << why;
  registry.remove("new");
  registry.remove("mhr");
  EXPECT_TRUE(registry.list(Kind::inventory).empty() && registry.list(Kind::routing_row).empty());
  EXPECT_TRUE(registry.verify().empty());
}

TEST(Inventories, VerifyFindsOneFlippedByteInEveryKind) {
  const Folder folder;
  Registry registry = open_made(folder);
  registry.commit(made::inventory("mhr", "k1", 1));
  registry.commit(made::routing_row(registry, "new", "z1", "mhr", 1));
  for (const char* file : {"inventories/mhr/v0001/adapter_model.safetensors", "inventories/mhr/v0001/inventory.json",
                           "routing_rows/new/v0001/routing_row.safetensors"}) {
    const fs::path path = folder.path / "r" / file;
    flip_last_byte(path);
    const auto complaints = registry.verify();
    ASSERT_EQ(complaints.size(), 1u) << file;
    EXPECT_NE(complaints[0].find(file), std::string::npos) << complaints[0];
    flip_last_byte(path);
  }
  EXPECT_TRUE(registry.verify().empty());
}

TEST(Inventories, VerifyHoldsTheTasksToTheRoutingRows) {
  const Folder folder;
  Registry registry = open_made(folder);
  registry.commit(made::inventory("mhr", "k1", 1));
  const fs::path version = folder.path / "r" / "inventories" / "mhr" / "v0001";
  write_file_durable(version / "inventory.json", R"({"tasks":["one"]})");
  write_file_durable(version / "SHA256SUMS", sums_text(version));
  ASSERT_EQ(registry.verify().size(), 1u);
  EXPECT_NE(registry.verify()[0].find("names 1 task, but the routing table has 2"), std::string::npos);
}

TEST(Registry, AnAmbiguousNameNeedsItsKind) {
  const Folder folder;
  Registry registry = open_made(folder);
  const std::vector<Kind> all(all_kinds.begin(), all_kinds.end());
  registry.commit(made::expert("copy", "k", 1));
  EXPECT_EQ(registry.locate("copy@v0001", all).kind, Kind::expert);
  registry.commit(made::inventory("mhr", "k1", 1));
  registry.commit(made::routing_row(registry, "copy", "z", "mhr", 1));
  EXPECT_NE(refusal_of([&] { registry.remove("copy"); }).find("experts/copy or routing_rows/copy"), std::string::npos);
  EXPECT_EQ(registry.locate("copy", {Kind::expert, Kind::inventory}).kind, Kind::expert);
  EXPECT_EQ(registry.locate("routing_rows/copy@v0001", all).folder,
            folder.path / "r" / "routing_rows" / "copy" / "v0001");
  EXPECT_NE(refusal_of([&] { registry.locate("mrh", all); }).find("did you mean mhr"), std::string::npos);
  EXPECT_NE(refusal_of([&] { registry.locate("rows/copy", all); }).find("routing_rows/copy"), std::string::npos);
  EXPECT_NE(refusal_of([&] { registry.locate("routing_rows/copy", {Kind::expert}); }).find("experts/copy"),
            std::string::npos);
  for (const char* name : {"inventories/../mhr", "../experts/copy", "routing_rows/copy@1"})
    EXPECT_THROW(registry.locate(name, all), UserError) << name;
  registry.remove("routing_rows/copy");
  EXPECT_EQ(registry.locate("copy", all).kind, Kind::expert);
}

TEST(Inventories, ImportsOnceAndExportsTheSameFolder) {
  const Folder folder;
  Registry registry = open_made(folder);
  const NewVersion made = made::inventory("mhr", "", 1);
  const fs::path peft = folder.path / "peft";
  made::write_peft_folder(peft, made.files.at(adapter_config_file), made.files.at(adapter_file));
  EXPECT_EQ(registry.commit(read_import(peft, "in", std::nullopt)), "v0001");
  EXPECT_EQ(registry.commit(read_import(peft, "in", std::nullopt)), "v0001");
  const Version in = registry.load(Kind::inventory, "in");
  EXPECT_EQ(tasks_of(in), (std::vector<std::string>{"task 0", "task 1"}));
  EXPECT_EQ(text_at(read_sidecar(in), "method") + " " + text_at(read_sidecar(in), "origin"), "mhr imported");

  // The same tensors with names for the routing rows are something else.
  write_file_durable(peft / "inventory.json", R"({"tasks":["add","copy"],"method":"private"})");
  EXPECT_EQ(registry.commit(read_import(peft, "in", std::nullopt)), "v0002");
  export_version(registry, "in", {folder.path / "out"});
  const NewVersion again = read_import(folder.path / "out", "again", std::nullopt);
  EXPECT_EQ(again.files, made.files);
  EXPECT_EQ(again.sidecar["tasks"], nlohmann::ordered_json({"add", "copy"}));
  EXPECT_EQ(again.sidecar["method"], "private");
  write_file_durable(peft / "inventory.json", R"({"tasks":["add"]})");
  EXPECT_THROW(read_import(peft, "in", std::nullopt), UserError);
  fs::remove(peft / "inventory.json");

  const auto base = [](int64_t out, int64_t in) {
    return BaseShapes{made::base, {{std::string(made::site) + ".weight", {out, in}}}};
  };
  EXPECT_NO_THROW(read_import(peft, "in", base(4, 4)));
  EXPECT_NE(refusal_of([&] { read_import(peft, "in", base(4, 8)); }).find("it is 8 and 4"), std::string::npos);
  EXPECT_NE(refusal_of([&] { read_import(peft, "in", base(4, 5)); }).find("2 heads do not divide"), std::string::npos);
}

TEST(Inventories, TheMeanIsExportedAsAPlainLora) {
  const Folder folder;
  Registry registry = open_made(folder);
  registry.commit(made::inventory("mhr", "k", 1));
  export_mean(registry, "mhr", {folder.path / "out"});
  const PeftAdapter mean = read_peft(folder.path / "out", {PeftKind::lora});
  ASSERT_EQ(mean.sites.size(), 1u);
  EXPECT_EQ(mean.sites[0].tensors[0].values, std::vector<float>(4, 2.0f));  // of 1, 2, 3
  EXPECT_EQ(mean.sites[0].tensors[1].values, std::vector<float>(4, 2.0f));
  EXPECT_EQ(mean.sites[0].scale, 1);
  EXPECT_THROW(export_mean(registry, "mhr", {folder.path / "out"}), UserError);
}

}  // namespace
}  // namespace gaggle
