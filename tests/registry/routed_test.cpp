// Routed adapters and rows: round trips, keys, parents, names of several kinds, import, export, verify.
#include "registry/routed.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "made.h"
#include "registry/import.h"
#include "registry/rows.h"
#include "registry/sums.h"

namespace gaggle {
namespace {

using made::Folder;

Registry open_made(const Folder& folder) {
  return Registry::open(folder.path / "r", made::base, true);
}

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

TEST(Routed, CommitLoadsBack) {
  const Folder folder;
  const Registry registry = open_made(folder);
  EXPECT_EQ(commit_routed(registry, made::routed("mhr", "k1", 0.5f)), "v0001");
  const StoredRouted routed = load_routed(registry, "mhr");
  EXPECT_EQ(routed.name + "@" + routed.version + " " + routed.key, "mhr@v0001 k1");
  EXPECT_EQ(routed.tasks, (std::vector<std::string>{"add", "copy"}));
  EXPECT_EQ(routed.digest, sums_digest(routed.folder));
  ASSERT_EQ(routed.poly.sites.size(), 1u);
  EXPECT_EQ(routed.poly.sites[0].a, made::poly(0.5f).sites[0].a);
  EXPECT_EQ(routed.poly.heads, 2);
  const auto json = nlohmann::json::parse(routed.json);
  EXPECT_EQ(json["poly"],
            nlohmann::json({{"rank", 1}, {"sites", 1}, {"tasks", 2}, {"skills", 3}, {"heads", 2}}));
  EXPECT_EQ(json["origin"], "trained");
  const RoutedInfo info = *find_routed(registry, "mhr");
  EXPECT_EQ(info.method, "mhr");
  EXPECT_EQ(info.tasks, 2);
  EXPECT_EQ(info.skills, 3);
  EXPECT_TRUE(info.current);
  EXPECT_TRUE(registry.verify().empty());
}

TEST(Routed, SameKeyIsCommittedOnceAnotherKeyIsANewVersion) {
  const Folder folder;
  Registry registry = open_made(folder);
  EXPECT_EQ(commit_routed(registry, made::routed("mhr", "k1", 1)), "v0001");
  EXPECT_EQ(commit_routed(registry, made::routed("mhr", "k1", 1)), "v0001");
  EXPECT_EQ(commit_routed(registry, made::routed("mhr", "k2", 2)), "v0002");
  EXPECT_EQ(find_routed(registry, "mhr")->version, "v0002");
  EXPECT_EQ(find_routed_key(registry, "mhr", "k1")->version, "v0001");
  EXPECT_FALSE(find_routed_key(registry, "mhr", "k3"));
  EXPECT_FALSE(find_routed(registry, "poly"));
  registry.make_current("mhr", "v0001", Kind::routed);
  EXPECT_EQ(load_routed(registry, "mhr").version, "v0001");
  EXPECT_EQ(load_routed(registry, "mhr", "v0002").poly.sites[0].a[0], 2);
  EXPECT_EQ(list_routed(registry).size(), 2u);
  EXPECT_TRUE(registry.list().empty());  // experts
}

// What has no LoRA form keeps its own tensors; only its task names are held to anything.
TEST(Routed, VectorsForAllTasksAreRead) {
  const Folder folder;
  const Registry registry = open_made(folder);
  NewRouted ia3 = made::routed("ia3", "k", 1);
  ia3.adapter_config = R"({"peft_type":"IA3","target_modules":["x"],"feedforward_modules":[]})";
  ia3.tensors = {from_float("base_model.model.x.ia3_l", {4, 1}, std::vector<float>(4, 1.0f), DType::f32)};
  commit_routed(registry, ia3);
  const StoredRouted read = load_routed(registry, "ia3");
  EXPECT_TRUE(read.poly.sites.empty());
  ASSERT_EQ(read.ia3.sites.size(), 1u);
  EXPECT_EQ(read.ia3.sites[0].l, std::vector<float>(4, 1.0f));
  EXPECT_EQ(find_routed(registry, "ia3")->skills, 0);
  EXPECT_TRUE(registry.verify().empty());
}

TEST(Rows, NameTheirParentAndItsDigest) {
  const Folder folder;
  const Registry registry = open_made(folder);
  EXPECT_NE(
      refusal_of([&] { commit_row(registry, made::row("new", "z1", "mhr", 1)); }).find("no routed adapter"),
      std::string::npos);
  commit_routed(registry, made::routed("mhr", "k1", 1));
  EXPECT_EQ(commit_row(registry, made::row("new", "z1", "mhr", 1)), "v0001");
  EXPECT_EQ(commit_row(registry, made::row("new", "z1", "mhr", 1)), "v0001");
  EXPECT_EQ(commit_row(registry, made::row("new", "z2", "mhr@v0001", 2)), "v0002");
  commit_routed(registry, made::routed("mhr", "k2", 2));  // what CURRENT is later does not matter
  const StoredRow row = load_row(registry, "new");
  EXPECT_EQ(row.version + " " + row.task + " " + row.parent + " " + row.key, "v0002 new mhr@v0001 z2");
  ASSERT_EQ(row.tensors.size(), 1u);
  EXPECT_EQ(row.tensors[0].name, made::site);
  EXPECT_EQ(row.tensors[0].shape, (std::vector<int64_t>{2, 3}));
  std::vector<float> values(6);
  to_float(row.tensors[0].view(), values);
  EXPECT_EQ(values, std::vector<float>(6, 2.0f));
  EXPECT_EQ(find_row_key(registry, "new", "z1")->version, "v0001");
  EXPECT_EQ(find_row(registry, "new")->parent, "mhr@v0001");
  EXPECT_EQ(list_rows(registry).size(), 2u);
  EXPECT_TRUE(registry.verify().empty());
}

TEST(Rows, WithoutTheirParentAreRefusedWithBothNames) {
  const Folder folder;
  const Registry registry = open_made(folder);
  commit_routed(registry, made::routed("mhr", "k1", 1));
  commit_row(registry, made::row("new", "z1", "mhr", 1));
  const fs::path parent = folder.path / "r" / "routed" / "mhr" / "v0001";

  // Sound in itself, but with other skills than those that the row was made for.
  write_file_durable(parent / "adapter_model.safetensors", made::file_of(made::routed("mhr", "", 7).tensors));
  write_file_durable(parent / "SHA256SUMS", sums_text(parent));
  const std::string changed = refusal_of([&] { load_row(registry, "new"); });
  for (const char* words : {"new@v0001", "another mhr@v0001"})
    EXPECT_NE(changed.find(words), std::string::npos);
  EXPECT_EQ(registry.verify(), std::vector<std::string>{changed});

  fs::remove_all(parent.parent_path());
  const std::string gone = refusal_of([&] { load_row(registry, "new"); });
  for (const char* words : {"new@v0001", "mhr@v0001, which is not there"})
    EXPECT_NE(gone.find(words), std::string::npos) << gone;
  EXPECT_EQ(registry.verify().size(), 1u);
}

TEST(Rows, KeepTheirParentFromBeingRemoved) {
  const Folder folder;
  Registry registry = open_made(folder);
  commit_routed(registry, made::routed("mhr", "k1", 1));
  commit_routed(registry, made::routed("mhr", "k2", 2));
  commit_row(registry, made::row("new", "z1", "mhr@v0001", 1));
  const std::string why = refusal_of([&] { registry.remove("mhr"); });
  EXPECT_NE(why.find("mhr is the parent of new@v0001"), std::string::npos) << why;
  registry.remove("new");
  registry.remove("mhr");
  EXPECT_TRUE(list_routed(registry).empty() && list_rows(registry).empty());
  EXPECT_TRUE(registry.verify().empty());
}

TEST(Routed, VerifyFindsOneFlippedByteInEveryKind) {
  const Folder folder;
  const Registry registry = open_made(folder);
  commit_routed(registry, made::routed("mhr", "k1", 1));
  commit_row(registry, made::row("new", "z1", "mhr", 1));
  for (const char* file : {"routed/mhr/v0001/adapter_model.safetensors", "routed/mhr/v0001/routed.json",
                           "rows/new/v0001/row.safetensors"}) {
    const fs::path path = folder.path / "r" / file;
    flip_last_byte(path);
    const auto complaints = registry.verify();
    ASSERT_EQ(complaints.size(), 1u) << file;
    EXPECT_NE(complaints[0].find(file), std::string::npos) << complaints[0];
    flip_last_byte(path);
  }
  EXPECT_TRUE(registry.verify().empty());
}

TEST(Routed, VerifyHoldsTheTasksToTheRoutingRows) {
  const Folder folder;
  const Registry registry = open_made(folder);
  commit_routed(registry, made::routed("mhr", "k1", 1));
  const fs::path version = folder.path / "r" / "routed" / "mhr" / "v0001";
  write_file_durable(version / "routed.json", R"({"tasks":["one"]})");
  write_file_durable(version / "SHA256SUMS", sums_text(version));
  ASSERT_EQ(registry.verify().size(), 1u);
  EXPECT_NE(registry.verify()[0].find("names 1 tasks, but there are 2 routing rows"), std::string::npos);
}

TEST(Registry, AnAmbiguousNameNeedsItsKind) {
  const Folder folder;
  Registry registry = open_made(folder);
  const std::vector<Kind> all(all_kinds.begin(), all_kinds.end());
  registry.commit(made::expert("copy", "k", 1));
  EXPECT_EQ(registry.locate("copy@v0001", all).kind, Kind::expert);
  commit_routed(registry, made::routed("mhr", "k1", 1));
  commit_row(registry, made::row("copy", "z", "mhr", 1));
  EXPECT_NE(refusal_of([&] { registry.remove("copy"); }).find("experts/copy or rows/copy"), std::string::npos);
  EXPECT_EQ(registry.locate("copy", {Kind::expert, Kind::routed}).kind, Kind::expert);
  EXPECT_EQ(registry.locate("rows/copy@v0001", all).folder, folder.path / "r" / "rows" / "copy" / "v0001");
  EXPECT_NE(refusal_of([&] { registry.locate("mrh", all); }).find("did you mean mhr"), std::string::npos);
  EXPECT_NE(refusal_of([&] { registry.locate("row/copy", all); }).find("rows/copy"), std::string::npos);
  EXPECT_NE(refusal_of([&] { registry.locate("rows/copy", {Kind::expert}); }).find("experts/copy"),
            std::string::npos);
  for (const char* name : {"routed/../mhr", "../experts/copy", "rows/copy@1"})
    EXPECT_THROW(registry.locate(name, all), UserError) << name;
  registry.remove("rows/copy");
  EXPECT_EQ(registry.locate("copy", all).kind, Kind::expert);
}

TEST(Routed, ImportsOnceAndExportsTheSameFolder) {
  const Folder folder;
  const Registry registry = open_made(folder);
  const NewRouted made = made::routed("mhr", "", 1);
  const fs::path peft = folder.path / "peft";
  made::write_peft_folder(peft, made.adapter_config, made.tensors);
  EXPECT_EQ(commit_routed(registry, read_routed_import(peft, "in", std::nullopt)), "v0001");
  EXPECT_EQ(commit_routed(registry, read_routed_import(peft, "in", std::nullopt)), "v0001");
  EXPECT_EQ(load_routed(registry, "in").tasks, (std::vector<std::string>{"task 0", "task 1"}));
  EXPECT_EQ(find_routed(registry, "in")->method + " " + find_routed(registry, "in")->origin, "mhr imported");

  // The same tensors with names for the rows are something else.
  write_file_durable(peft / "routed.json", R"({"tasks":["add","copy"],"method":"private"})");
  EXPECT_EQ(commit_routed(registry, read_routed_import(peft, "in", std::nullopt)), "v0002");
  export_version(registry, "in", folder.path / "out");
  const NewRouted again = read_routed_import(folder.path / "out", "again", std::nullopt);
  EXPECT_EQ(again.adapter_config, made.adapter_config);
  EXPECT_EQ(made::file_of(again.tensors), made::file_of(made.tensors));
  EXPECT_EQ(nlohmann::json::parse(again.routed_json)["tasks"], nlohmann::json({"add", "copy"}));
  EXPECT_EQ(nlohmann::json::parse(again.routed_json)["method"], "private");
  write_file_durable(peft / "routed.json", R"({"tasks":["add"]})");
  EXPECT_THROW(read_routed_import(peft, "in", std::nullopt), UserError);
  fs::remove(peft / "routed.json");

  const auto base = [](int64_t out, int64_t in) {
    return BaseShapes{made::base, {{std::string(made::site) + ".weight", {out, in}}}};
  };
  EXPECT_NO_THROW(read_routed_import(peft, "in", base(4, 4)));
  EXPECT_NE(refusal_of([&] { read_routed_import(peft, "in", base(4, 8)); }).find("it is 8 and 4"),
            std::string::npos);
  EXPECT_NE(refusal_of([&] { read_routed_import(peft, "in", base(4, 5)); }).find("2 heads do not divide"),
            std::string::npos);
}

TEST(Routed, TheMeanIsExportedAsAPlainLora) {
  const Folder folder;
  const Registry registry = open_made(folder);
  commit_routed(registry, made::routed("mhr", "k", 1));
  export_mean(registry, "mhr", folder.path / "out");
  const PeftLora mean = read_peft_lora(folder.path / "out");
  ASSERT_EQ(mean.sites.size(), 1u);
  EXPECT_EQ(mean.sites[0].a, std::vector<float>(4, 2.0f));  // of 1, 2, 3
  EXPECT_EQ(mean.sites[0].b, std::vector<float>(4, 2.0f));
  EXPECT_EQ(mean.sites[0].scale, 1);
  EXPECT_THROW(export_mean(registry, "mhr", folder.path / "out"), UserError);
}

}  // namespace
}  // namespace gaggle
