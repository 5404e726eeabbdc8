// What a registry promises: round trips, versions, names, links, formats, another base, collections, verify.
#include "registry/registry.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "made.h"
#include "registry/export.h"
#include "registry/import.h"
#include "registry/listing.h"
#include "registry/pins.h"
#include "registry/stage.h"
#include "registry/sums.h"

namespace gaggle {
namespace {

Registry open_new(const fs::path& folder) { return Registry::open(folder, made::base, true); }

float value_of(const Version& expert) { return read_adapter(expert).sites[0].tensors[0].values[0]; }

TEST(Registry, CommitLoadsBack) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  EXPECT_EQ(registry.commit(made::expert("tomi", "k1", 0.5f)), "v0001");
  const Version version = registry.load(Kind::expert, "tomi");
  const PeftAdapter expert = read_adapter(version);
  ASSERT_EQ(expert.sites.size(), 1u);
  EXPECT_EQ(expert.sites[0].site, made::site);
  EXPECT_EQ(expert.sites[0].tensors[0].values, std::vector<float>(8, 0.5f));
  EXPECT_EQ(expert.sites[0].gate, std::vector<float>(4, 0.5f));
  EXPECT_EQ(expert.sites[0].scale, 0.5);
  EXPECT_EQ(key_of(version.folder, Kind::expert), "k1");
  EXPECT_TRUE(is_gated(version));
  EXPECT_TRUE(registry.verify().empty());
  const std::string check = "cd " + version.folder.string() + " && sha256sum --quiet -c SHA256SUMS";
  EXPECT_EQ(std::system(check.c_str()), 0);
}

TEST(Registry, SameKeyIsCommittedOnceAnotherKeyIsANewVersion) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  EXPECT_EQ(registry.commit(made::expert("tomi", "k1", 1)), "v0001");
  EXPECT_EQ(registry.commit(made::expert("tomi", "k1", 1)), "v0001");
  EXPECT_EQ(registry.commit(made::expert("tomi", "k2", 2)), "v0002");
  EXPECT_EQ(registry.find(Kind::expert, "tomi")->version, "v0002");
  EXPECT_EQ(registry.find_key(Kind::expert, "tomi", "k1")->version, "v0001");
  EXPECT_EQ(value_of(registry.load(Kind::expert, "tomi@v0001")), 1);
  registry.make_current(Kind::expert, "tomi", "v0001");
  EXPECT_EQ(registry.find(Kind::expert, "tomi")->version, "v0001");
  EXPECT_TRUE(fs::is_empty(folder.path / "r" / ".staging"));
}

TEST(Registry, WithoutAKeyEveryTensorDecides) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  EXPECT_EQ(registry.commit(made::expert("tomi", "", 1)), "v0001");
  EXPECT_EQ(registry.commit(made::expert("tomi", "", 1)), "v0001");
  NewVersion other_gates = made::expert("tomi", "", 1);
  other_gates.files[gate_file] = tensor_file_bytes(made::gates(2));
  EXPECT_EQ(registry.commit(other_gates), "v0002");
  NewVersion other_lora = made::expert("tomi", "", 1);
  other_lora.files[adapter_file] = tensor_file_bytes(made::lora(2));
  EXPECT_EQ(registry.commit(other_lora), "v0003");
  NewVersion other_bias = made::expert("tomi", "", 1);
  other_bias.sidecar["gate_bias"] = -2;
  EXPECT_EQ(registry.commit(other_bias), "v0004");
  EXPECT_EQ(registry.commit(other_bias), "v0004");
}

TEST(Registry, VerifyNamesABiasThatIsNone) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  NewVersion expert = made::expert("a", "k1", 1);
  for (const auto& [bias, shown] : {std::pair(nlohmann::ordered_json("closed"), "\"closed\""), {-21, "-21"}}) {
    expert.sidecar["gate_bias"] = bias;
    expert.key = shown;
    registry.commit(expert);
    const auto complaints = registry.verify();
    ASSERT_FALSE(complaints.empty()) << shown;
    EXPECT_NE(complaints.back().find(fmt::format("gate_bias {}; expected a number", shown)), std::string::npos)
        << complaints.back();
  }
}

// A version that is sound in itself, but is not what the collection was made of.
TEST(Registry, VerifyComparesPinsWithWhatIsThere) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  for (const auto& [file, others] :
       {std::pair("adapter_model.safetensors", made::lora(2)), std::pair("gate.safetensors", made::gates(2))}) {
    registry.commit(made::expert("a", "k1", 1));
    registry.collect("demo", {});
    const fs::path version = registry.load(Kind::expert, "a").folder;
    write_file_durable(version / file, tensor_file_bytes(others));
    write_file_durable(version / "SHA256SUMS", sums_text(version));
    const auto complaints = registry.verify();
    ASSERT_EQ(complaints.size(), 1u) << file;
    EXPECT_NE(complaints[0].find("a@v0001 is not the one that was pinned"), std::string::npos) << complaints[0];
    fs::remove_all(folder.path / "r" / "experts");
    fs::remove_all(folder.path / "r" / "collections");
  }
}

TEST(Registry, ARenameNeverReplacesAndOneThatWasDoneIsDone) {
  made::Folder folder;
  for (const char* name : {"ours", "theirs"}) fs::create_directory(folder.path / name);
  EXPECT_FALSE(rename_to_new(folder.path / "ours", folder.path / "theirs"));  // though it is empty
  EXPECT_TRUE(fs::exists(folder.path / "ours"));
  EXPECT_TRUE(rename_to_new(folder.path / "ours", folder.path / "ours"));  // as where NFS repeats a request
  EXPECT_TRUE(rename_to_new(folder.path / "ours", folder.path / "new"));
  EXPECT_TRUE(fs::exists(folder.path / "new"));
}

TEST(Registry, LinkedFilesAreHardLinks) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  registry.commit(made::expert("tomi", "k1", 1, false));
  const Version first = registry.load(Kind::expert, "tomi");
  EXPECT_FALSE(is_gated(first));
  NewVersion gated = made::expert("tomi", "k2", 3);
  for (const char* file : {adapter_config_file, adapter_file}) {
    gated.files.erase(file);
    gated.linked.push_back(first.folder / file);
  }
  EXPECT_EQ(registry.commit(gated), "v0002");
  const Version second = registry.load(Kind::expert, "tomi");
  EXPECT_TRUE(is_gated(second));
  EXPECT_EQ(value_of(second), 1);
  EXPECT_EQ(fs::hard_link_count(second.folder / adapter_file), 2u);
  EXPECT_TRUE(registry.verify().empty());
}

TEST(Registry, AnotherFormatIsRefusedByName) {
  made::Folder folder;
  open_new(folder.path / "r");
  for (const auto& [format, words] : {std::pair("1", "made by a gaggle from before"), {"3", "use the newer gaggle"}}) {
    write_file_durable(folder.path / "r" / "registry.json",
                       std::string(R"({"format":)") + format + R"(,"base":{"name":"","shapes":"","content":""}})");
    try {
      Registry::open(folder.path / "r", std::nullopt, false);
      ADD_FAILURE() << "format " << format;
    } catch (const UserError& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find((folder.path / "r").string() + ": a registry of format " + format), std::string::npos);
      EXPECT_NE(text.find(words), std::string::npos) << text;
    }
  }
}

TEST(Registry, AFormatThatNoNumberHoldsIsRefused) {
  made::Folder folder;
  open_new(folder.path / "r");
  for (const char* format : {"4294967298", "1e300", "2.5"}) {  // 2³² + 2 is 2 as an int
    write_file_durable(folder.path / "r" / "registry.json",
                       std::string(R"({"format":)") + format + R"(,"base":{"name":"","shapes":"","content":""}})");
    EXPECT_THROW(Registry::open(folder.path / "r", std::nullopt, false), UserError) << format;
  }
}

TEST(Registry, AnEmptySidecarIsShown) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  registry.commit(made::expert("tomi", "k1", 0.5f));
  const Version version = registry.load(Kind::expert, "tomi");
  write_file_durable(version.folder / "expert.json", "{}");
  EXPECT_NE(sidecar_page(version).text().find("key"), std::string::npos);
}

TEST(Registry, AnotherBaseIsRefused) {
  made::Folder folder;
  open_new(folder.path / "r");
  BaseFingerprint other = made::base;
  other.shapes = "others";
  EXPECT_THROW(Registry::open(folder.path / "r", other, false), UserError);
  other = made::base;
  other.content = "tuned";
  EXPECT_THROW(Registry::open(folder.path / "r", other, true), UserError);
  EXPECT_NO_THROW(Registry::open(folder.path / "r", other, true, true));
  EXPECT_NO_THROW(Registry::open(folder.path / "r", other, false));
  EXPECT_THROW(Registry::open(folder.path / "none", std::nullopt, true), UserError);
}

TEST(Registry, NamesAndLinksAreRefused) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  for (const char* name : {"..", "a/b", ".hidden", "", "a@v0001"})
    EXPECT_THROW(registry.commit(made::expert(name, "k", 1)), UserError) << name;
  registry.commit(made::expert("real", "k", 1));
  fs::create_directory_symlink(folder.path / "r" / "experts" / "real", folder.path / "r" / "experts" / "link");
  EXPECT_THROW(read_adapter(registry.load(Kind::expert, "link")), UserError);
  EXPECT_THROW(registry.commit(made::expert("link", "k", 1)), UserError);
  EXPECT_EQ(registry.list(Kind::expert).size(), 1u);
  EXPECT_FALSE(registry.verify().empty());
}

TEST(Registry, VerifyFindsOneFlippedByte) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  registry.commit(made::expert("tomi", "k1", 1));
  const fs::path file = registry.load(Kind::expert, "tomi").folder / "adapter_model.safetensors";
  std::string bytes = read_file(file);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  std::ofstream(file, std::ios::binary) << bytes;
  const auto complaints = registry.verify();
  ASSERT_EQ(complaints.size(), 1u);
  EXPECT_NE(complaints[0].find("adapter_model.safetensors"), std::string::npos);
}

TEST(Registry, CollectionPinsVersions) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  registry.commit(made::expert("a", "k1", 1));
  registry.commit(made::expert("b", "k2", 2, false));
  EXPECT_EQ(registry.collect("demo", {}), "v0001");
  EXPECT_EQ(registry.collect("demo", {}), "v0001");
  registry.commit(made::expert("a", "k3", 3));
  const auto pins = read_pins(registry.load(Kind::collection, "demo"));
  ASSERT_EQ(pins.size(), 2u);
  EXPECT_EQ(pins[0].pin.text(), "a@v0001");
  EXPECT_THROW(registry.remove("a"), UserError);
  EXPECT_EQ(registry.collect("demo", {"a"}), "v0002");
  EXPECT_EQ(read_pins(registry.load(Kind::collection, "demo"))[0].pin.text(), "a@v0002");
  EXPECT_TRUE(registry.verify().empty());
  registry.remove("demo");
  registry.remove("a");
  EXPECT_FALSE(registry.find(Kind::expert, "a"));
}

TEST(Registry, ImportsOnceAndExportsTheSameTensors) {
  made::Folder folder;
  made::write_peft_folder(folder.path / "peft", made::config, tensor_file_bytes(made::lora(4)));
  Registry registry = open_new(folder.path / "r");
  EXPECT_EQ(registry.commit(read_import(folder.path / "peft", "in", std::nullopt)), "v0001");
  EXPECT_EQ(registry.commit(read_import(folder.path / "peft", "in", std::nullopt)), "v0001");
  EXPECT_EQ(text_at(read_sidecar(*registry.find(Kind::expert, "in")), "origin"), "imported");
  export_version(registry, "in", {folder.path / "out"});
  EXPECT_EQ(read_file(folder.path / "out" / "adapter_config.json"), made::config);
  EXPECT_THROW(export_version(registry, "in", {folder.path / "out"}), UserError);
  const BaseShapes narrow{made::base, {{std::string(made::site) + ".weight", {4, 8}}}};
  EXPECT_THROW(read_import(folder.path / "peft", "in", narrow), UserError);
  const BaseShapes fits{made::base, {{std::string(made::site) + ".weight", {4, 4}}}};
  EXPECT_NO_THROW(read_import(folder.path / "peft", "in", fits));
}

std::vector<std::string> names_of(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

TEST(Registry, ExportTakesWhatWasCommittedIntoAFolderOfItsOwn) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  registry.commit(made::expert("in", "k", 1));
  const fs::path version = registry.load(Kind::expert, "in").folder;
  write_file_durable(version / "left_over.py", "evil()");
  const fs::path victim = folder.path / "victim";
  fs::create_directory(victim);
  fs::create_directory_symlink(victim, folder.path / "out.part");
  export_version(registry, "in", {folder.path / "out" / ""});
  EXPECT_EQ(names_of(folder.path / "out"),
            (std::vector<std::string>{"SHA256SUMS", "adapter_config.json", "adapter_model.safetensors", "expert.json",
                                      "gates"}));
  EXPECT_TRUE(fs::is_empty(victim));
  EXPECT_EQ(names_of(folder.path), (std::vector<std::string>{"out", "out.part", "r", "victim"}));
  EXPECT_THROW(export_version(registry, "in", {folder.path / "r" / "experts" / "in" / "copy"}), UserError);
  write_file_durable(version / adapter_config_file, "{}");
  EXPECT_THROW(export_version(registry, "in", {folder.path / "other"}), UserError) << "not what was committed";
  EXPECT_FALSE(fs::exists(folder.path / "other"));
}

TEST(Registry, FoldersOfJobsMayNotBeLinks) {
  for (const char* inner : {"work", "work/leases", "work/journal", "aside", "collections", ".staging"}) {
    made::Folder folder;
    open_new(folder.path / "r");
    const fs::path link = folder.path / "r" / inner;
    fs::create_directories(folder.path / "outside");
    fs::create_directories(link.parent_path());
    fs::create_directory_symlink(folder.path / "outside", link);
    EXPECT_THROW(Registry::open(folder.path / "r", made::base, true), UserError) << inner;
    EXPECT_TRUE(fs::is_empty(folder.path / "outside"));
  }
}

TEST(Registry, ImportTakesEachNameOnce) {
  made::Folder folder;
  made::write_peft_folder(folder.path / "a", made::config, tensor_file_bytes(made::lora(1)));
  made::write_peft_folder(folder.path / "b", "{}", tensor_file_bytes(made::lora(2)));
  open_new(folder.path / "r");
  const auto path = [&](const char* name) { return (folder.path / name).string(); };
  const ImportReport report = import_folders(folder.path / "r", {path("a"), path("b"), path("a/")}, "", "", false);
  EXPECT_EQ(report.refused, 2u) << report.page.text();
  EXPECT_NE(report.page.text().find("another folder of this import is named a too"), std::string::npos)
      << report.page.text();
  EXPECT_NE(report.page.text().find("1 accepted, 2 refused"), std::string::npos) << report.page.text();
}

// Many are committed at once; told of in the order in which they were named.
TEST(Registry, ImportCommitsMany) {
  made::Folder folder;
  std::vector<std::string> folders;
  for (int i = 0; i < 100; ++i) {
    const fs::path made = folder.path / fmt::format("e{}", 99 - i);
    made::write_peft_folder(made, i == 50 ? "{}" : made::config, tensor_file_bytes(made::lora(static_cast<float>(i))));
    folders.push_back(made);
  }
  Registry registry = open_new(folder.path / "r");
  const ImportReport report = import_folders(registry.folder(), folders, "", "", false);
  EXPECT_EQ(report.refused, 1u) << report.page.text();
  size_t at = 0;
  for (int i = 0; i < 100; ++i) {
    at = report.page.text().find(i == 50 ? std::string("refused") : fmt::format(" e{}@v0001", 99 - i), at);
    ASSERT_NE(at, std::string::npos) << i << "\n" << report.page.text();
    if (i == 50) continue;
    EXPECT_EQ(value_of(registry.load(Kind::expert, fmt::format("e{}", 99 - i))), i);
  }
  EXPECT_TRUE(registry.verify().empty());
  EXPECT_TRUE(fs::is_empty(registry.folder() / ".staging"));
}

// What is there already is known by its digests: nothing is staged, and so nothing waits for fsync.
TEST(Registry, WhatIsThereIsNotWrittenAgain) {
  made::Folder folder;
  Registry registry = open_new(folder.path / "r");
  const auto gates = [&] {
    NewVersion made = made::expert("keyed", "k2", 1);
    made.files.erase(adapter_file);
    made.linked = {registry.load(Kind::expert, "keyed@v0001").folder / adapter_file};
    return made;
  };
  const auto commit_all = [&] {
    EXPECT_EQ(registry.commit(made::expert("imported", "", 1)), "v0001");
    EXPECT_EQ(registry.commit(made::expert("keyed", "k1", 1, false)), "v0001");
    EXPECT_EQ(registry.commit(gates()), "v0002");
    EXPECT_EQ(registry.collect("all", {"imported", "keyed"}), "v0001");
  };
  commit_all();
  fs::remove(registry.folder() / ".staging");
  write_file_durable(registry.folder() / ".staging", "a file: no stage can be made");
  commit_all();
  EXPECT_THROW(registry.commit(made::expert("imported", "", 2)), std::runtime_error);
}

}  // namespace
}  // namespace gaggle
