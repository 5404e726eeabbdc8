// Reading a config: types, places of mistakes, includes, overrides, and that what is printed reads back alike.
#include "config/read.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/screen.h"
#include "config/meant.h"
#include "config/schema.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

class ReadConfig : public testing::Test {
 protected:
  void SetUp() override {
    before_ = fs::current_path();
    folder_ = fs::temp_directory_path() /
              ("gaggle_config_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "configs");
    fs::current_path(folder_);
  }
  void TearDown() override {
    fs::current_path(before_);
    fs::remove_all(folder_);
  }
  static std::string write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::absolute(path).parent_path());
    std::ofstream(path) << text;
    return path;
  }
  static std::string complaints(const std::string& file, const std::vector<std::string>& overrides = {}) {
    try {
      read_config(file, overrides);
    } catch (const UserError& error) {
      return error.what();
    }
    return "nothing";
  }

  fs::path before_, folder_;
};

TEST_F(ReadConfig, EveryTypeOfKey) {
  const Config config = read_config(write("configs/a.toml", R"(
[run]
name = "demo"
seed = 7
threads = 2
max_minutes = 1.5
strict = true
[train]
lr = 1
steps = 60
[eval]
methods = ["none", "expert:tomi"]
[gate.tasks]
imported = "tomi.jsonl"
)"),
                                    {});
  EXPECT_EQ(config.run.name, "demo");
  EXPECT_EQ(config.run.seed, 7u);
  EXPECT_EQ(config.run.threads, 2);
  EXPECT_EQ(config.run.max_minutes, 1.5);
  EXPECT_TRUE(config.run.strict);
  EXPECT_EQ(config.train.lr, 1.0);
  EXPECT_EQ(config.train.steps, 60);
  EXPECT_EQ(config.eval.methods, (std::vector<std::string>{"none", "expert:tomi"}));
  EXPECT_EQ(config.gate.tasks.at("imported"), "configs/tomi.jsonl");
  EXPECT_EQ(config.origin.at("run.name"), "configs/a.toml:3:1");
}

TEST_F(ReadConfig, AllMistakesAtOnceWithTheirPlaces) {
  const std::string message = complaints(write("a.toml", R"(steps = 3
[train]
stesp = 60
batch_size = "many"
warmup = 1.5
rank = 8
[trian]
[run]
device = "gpu"
)"),
                                         {"train.epochs=-1", "eval.mehods=none", "nonsense=1"});
  for (const char* expected :
       {"a.toml:1:1: unknown key steps (did you mean steps = … in section [train]?)",
        "a.toml:3:1: unknown key train.stesp (did you mean train.steps?)",
        "a.toml:4:1: train.batch_size: expected an integer >= 1 and <= 1000000, got \"many\"",
        "a.toml:5:1: train.warmup: expected a number >= 0 and <= 1, got 1.5",
        "a.toml:6:1: unknown key train.rank (did you mean lora.rank or poly.rank?)",
        "a.toml:7:2: unknown section [trian] (did you mean [train]?)",
        "a.toml:9:1: run.device: expected one of auto, cpu, cuda, got \"gpu\"",
        "--train.epochs: expected a number > 0 and <= 1000000, got -1",
        "--eval.mehods: unknown key eval.mehods (did you mean eval.methods?)", "--nonsense: unknown section"})
    EXPECT_NE(message.find(expected), std::string::npos) << expected << "\nis not in\n" << message;
}

TEST_F(ReadConfig, RenamedKeysNameTheNewOne) {
  const std::string message =
      complaints(write("a.toml", "[data]\nlimit_rows = 4\n[eval]\nrouted = \"skills\"\n"), {"plan.rows=9"});
  for (const char* expected :
       {"a.toml:2:1: data.limit_rows is called data.limit_examples now",
        "a.toml:4:1: eval.routed is called eval.inventory now", "--plan.rows: plan.rows is called plan.examples now"})
    EXPECT_NE(message.find(expected), std::string::npos) << expected << "\nis not in\n" << message;
  for (const RenamedKey& key : renamed_keys) EXPECT_NE(find_key(std::string(key.now)), nullptr) << key.now;
}

TEST_F(ReadConfig, WordsOfOtherProgramsNameTheKeyThatIsMeant) {
  const std::string message =
      complaints(write("a.toml", "lora_alpha = 2\n[train]\nlearning_rate = 1\nr = 8\n[adapt]\nlearning_rate = 1\n"),
                 {"train.batch=9", "eval.k=2", "lora.num-train-epochs=3"});
  for (const char* expected : {"a.toml:1:1: unknown key lora_alpha (did you mean alpha = … in section [lora]?)",
                               "a.toml:3:1: unknown key train.learning_rate (did you mean train.lr?)",
                               "a.toml:4:1: unknown key train.r (did you mean lora.rank or poly.rank?)",
                               "a.toml:6:1: unknown key adapt.learning_rate (did you mean adapt.lr?)",
                               "--train.batch: unknown key train.batch (did you mean train.batch_size?)",
                               "--eval.k: unknown key eval.k (did you mean eval.top_k?)",
                               "unknown key lora.num-train-epochs (did you mean train.epochs?)"})
    EXPECT_NE(message.find(expected), std::string::npos) << expected << "\nis not in\n" << message;
  for (const auto& [word, key] : key_synonyms) {
    EXPECT_NE(find_key(std::string(key)), nullptr) << key;
    for (const Key& ours : config_keys()) EXPECT_NE(ours.name, word) << "is a key itself";
  }
}

TEST_F(ReadConfig, KeysAsAPageFitItsWidth) {
  for (const size_t width : {60, 100}) {
    const std::string page = config_keys_page({}, width);
    std::istringstream lines(page);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(columns_of(line), width) << line;
    for (const Key& key : config_keys()) EXPECT_NE(page.find("\n  " + key.name), std::string::npos) << key.full();
  }
  EXPECT_EQ(config_keys_page({"train.lr"}, 80).find("[lora]"), std::string::npos);
}

TEST_F(ReadConfig, NotToml) {
  EXPECT_NE(complaints(write("a.toml", "[run]\nname = \"x\n")).find("a.toml:2:"), std::string::npos);
  EXPECT_NE(complaints("nowhere.toml").find("nowhere.toml: there is no such config file"), std::string::npos);
}

TEST_F(ReadConfig, IncluderWinsAndPathsAreThoseOfTheirFile) {
  write("configs/base.toml",
        "[data]\ntasks = [\"tasks/a.jsonl\"]\n[train]\nsteps = 5\nepochs = 2\n[registry]\npath = \"../r\"\n");
  const Config config = read_config(
      write("configs/sub/mine.toml", "include = \"../base.toml\"\n[train]\nsteps = 9\n[run]\ndir = \"runs\"\n"),
      {"lora.init_from=folder/lora"});
  EXPECT_EQ(config.train.steps, 9);
  EXPECT_EQ(config.train.epochs, 2);
  EXPECT_EQ(config.data.tasks, std::vector<std::string>{"configs/tasks/a.jsonl"});
  EXPECT_EQ(config.registry.path, "r");
  EXPECT_EQ(config.run.dir, "configs/sub/runs");
  EXPECT_EQ(config.lora.init_from, "folder/lora");
  EXPECT_EQ(config.origin.at("train.epochs"), "configs/base.toml:5:1");
  EXPECT_EQ(config.origin.at("lora.init_from"), "--lora.init_from");
}

TEST_F(ReadConfig, IncludeCyclesAndMissingFilesAreRefused) {
  write("b.toml", "include = \"a.toml\"\n");
  EXPECT_NE(complaints(write("a.toml", "include = \"b.toml\"\n")).find("b.toml:1:11: include: a.toml includes itself"),
            std::string::npos);
  EXPECT_NE(complaints(write("c.toml", "include = \"none.toml\"\n")).find("c.toml:1:11: include: there is no file"),
            std::string::npos);
}

TEST_F(ReadConfig, OverridesTakeTomlOrBareText) {
  const Config config = read_config(
      write("a.toml", ""), {"run.name=5", "train.lr=1e-3", "eval.methods=none,arrow", "data.tasks=[\"x,y.jsonl\"]",
                            "data.prompt=\"{input}\\n\\n\"", "cluster.wait=true", "gate.tasks.tomi=t.jsonl"});
  EXPECT_EQ(config.run.name, "5");
  EXPECT_EQ(config.train.lr, 1e-3);
  EXPECT_EQ(config.eval.methods, (std::vector<std::string>{"none", "arrow"}));
  EXPECT_EQ(config.data.tasks, std::vector<std::string>{"x,y.jsonl"});
  EXPECT_EQ(config.data.prompt, "{input}\n\n");
  EXPECT_TRUE(config.cluster.wait);
  EXPECT_EQ(config.gate.tasks.at("tomi"), "t.jsonl");
}

TEST_F(ReadConfig, TypedAgainItNamesTheSameCollectionAndMethods) {
  const Config config = read_config(write("my dir/a.toml", "[train]\nsteps = 5\n[eval]\nsplit = \"test\"\n"),
                                    {"registry.collection=zz", "train.lr=1e-3", "eval.methods=[\"none\", \"arrow\"]"});
  EXPECT_EQ(typed_again(config), "'my dir/a.toml' --registry.collection=zz --eval.methods='[\"none\", \"arrow\"]'");
}

TEST_F(ReadConfig, EpochsThatAreTypedAreNotSilentlyIdle) {
  const std::string file = write("a.toml", "[train]\nsteps = 5\n");
  EXPECT_NE(complaints(file, {"train.epochs=1"}).find("train.steps = 5 wins over train.epochs"), std::string::npos);
  EXPECT_EQ(complaints(file, {"train.epochs=1", "train.steps=0"}), "nothing");
}

TEST_F(ReadConfig, ModelPathMayBeAHubName) {
  write("a.toml", "[model]\npath = \"org/name\"\n");
  EXPECT_EQ(read_config("a.toml", {}).model.path, "org/name");
  fs::create_directories("configs/org/name");
  write("configs/b.toml", "[model]\npath = \"org/name\"\n");
  EXPECT_EQ(read_config("configs/b.toml", {}).model.path, "configs/org/name");
  write("configs/c.toml", "[model]\npath = \"../gone/model.gguf\"\n");
  EXPECT_EQ(read_config("configs/c.toml", {}).model.path, "gone/model.gguf");
}

TEST_F(ReadConfig, AnotherAlphaNeedsItsOwnLearningRate) {
  const std::string file = write("a.toml", "[lora]\nrank = 8\nalpha = 4\n");
  EXPECT_NE(complaints(file).find("a.toml:3:1: lora.alpha = 4, but"), std::string::npos) << complaints(file);
  EXPECT_EQ(complaints(file, {"train.lr=1e-3"}), "nothing");
  EXPECT_EQ(complaints(file, {"lora.alpha=0.5"}), "nothing");  // scale 1/16, as before
  EXPECT_EQ(complaints(file, {"lora.alpha=1"}), "nothing");
  EXPECT_EQ(complaints(write("b.toml", "[lora]\nrank = 2\n")), "nothing");
}

TEST_F(ReadConfig, RulesBetweenKeys) {
  const std::string file = write("a.toml", "");
  for (const auto& [override_text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"eval.methods=phatgose", "unknown method \"phatgose\" (did you mean phatgoose?)"},
           {"eval.methods=expert:../x", "a name has letters"},
           {"eval.methods=none,none", "names \"none\" twice"},
           {"eval.methods=[]", "is empty"},
           {"run.name=a/b", "a name has letters"},
           {"registry.collection=.x", "a name has letters"},
           {"train.keep=best", "needs train.validate_every"},
           {"train.lr=nan", "train.lr: expected a number > 0"},
           {"train.lanes=1000000000", "train.lanes: expected an integer >= 0 and <= 65536"},
           {"run.threads=1000000", "run.threads: expected an integer >= 0 and <= 1024"},
           {"train.batch_size=1000000000000", "train.batch_size: expected an integer >= 1 and <= 1000000"},
           {"registry.path=", "registry.path is empty"},
           {"train.steps=1e3", "train.steps: expected an integer >= 0 and <= 1000000000, got 1000"}})
    EXPECT_NE(complaints(file, {override_text}).find(expected), std::string::npos)
        << override_text << ": " << complaints(file, {override_text});
  for (const auto& [overrides, expected] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"poly.heads=0"}, "poly.heads: expected an integer >= 1 and <= 65536, got 0"},
           {{"poly.method=poly", "poly.heads=8"}, "--poly.heads: poly.heads = 8 belongs to"},
           {{"poly.average_from=5", "poly.average_last_steps=5"}, "exclude each other"},
           {{"poly.adapter=ia3", "poly.rank=4"}, "--poly.rank: poly.rank belongs to poly.adapter = \"lora\""},
           {{"poly.sample=example", "alignment.space=both"}, "no single mixture"},
           {{"poly.sample=example", "alignment.space=mixed"}, "no single mixture"},
           {{"eval.length_penalty=2"}, "belongs to beam search: set eval.beams > 1"},
           {{"eval.shots_split=validation"}, "belongs to eval.shots > 0"},
           {{"train.scale_parameter=true"}, "belongs to train.optimizer = \"adafactor\""},
           {{"train.label_smoothing=1"}, "train.label_smoothing: expected a number >= 0 and < 1, got 1"},
           {{"data.sampling=capped"}, "--data.sampling: data.sampling = \"capped\" needs data.sampling_cap > 0"},
           {{"data.sampling_cap=9"}, "belongs to data.sampling = \"capped\"; it is \"size\""},
           {{"data.sampling_temperature=2"}, "belongs to data.sampling = \"temperature\"; it is \"size\""},
           {{"data.sampling_temperature=0"}, "expected a number > 0"},
           {{"adapt.method=full,zz"}, "adapt.method: expected a list of full, z, mu, random, shared, lora, got \"zz\""},
           {{"adapt.method=z,z"}, "adapt.method names z twice"},
           {{"adapt.method=[]"}, "adapt.method is empty"},
           {{"adapt.shots=4,-1"}, "adapt.shots: expected a list of integers >= 0, got -1"},
           {{"adapt.shots=4,many"}, "adapt.shots: expected a list of integers >= 0, got \"4,many\""},
           {{"adapt.shots=8,8"}, "adapt.shots names 8 twice"},
           {{"adapt.mu=gone"}, "adapt.mu: expected one of collapsed, kept"},
           {{"adapt.loss=tfew", "train.label_smoothing=0.1"}, "has no label smoothing"},
           {{"adapt.from=a/b"}, "a name has letters"},
           {{"eval.inventory=skills@2"}, "after the @ stands a version such as v0001"},
           {{"eval.methods=poly:a/b"}, "a name has letters"},
           {{"eval.methods=z:tomi@1"}, "after the @ stands a version such as v0001"},
           {{"eval.methods=expert:tomi@v0001"}, "a name has letters"},
           {{"eval.methods=q:tomi"}, "unknown method \"q:tomi\""}})
    EXPECT_NE(complaints(file, overrides).find(expected), std::string::npos)
        << overrides[0] << ": " << complaints(file, overrides);
  for (const std::vector<std::string>& good : std::vector<std::vector<std::string>>{
           {"poly.method=shared"},
           {"poly.method=poly", "poly.heads=1"},
           {"poly.method=mhr", "poly.heads=4"},
           {"poly.sample=task", "alignment.space=both"},
           {"poly.adapter=ia3", "alignment.every=20"},
           {"train.scale_parameter=true", "train.optimizer=adafactor", "train.label_smoothing=0.1"},
           {"data.sampling=capped", "data.sampling_cap=9"},
           {"data.sampling=temperature", "data.sampling_temperature=2"},
           {"adapt.method=lora,mu", "adapt.shots=0,32", "adapt.loss=tfew", "adapt.from=skills@v0012"},
           {"eval.methods=poly,mu,shared,poly:skills,mu:skills@v0001,shared:s,z:tomi", "eval.inventory=skills"}})
    EXPECT_EQ(complaints(file, good), "nothing") << good[0];
  const auto lanes = [&](int n) {
    return complaints(file, {"train.lanes=" + std::to_string(n), "cluster.ranks_per_expert=2"});
  };
  EXPECT_NE(lanes(1).find("train.lanes = 1 is fewer than"), std::string::npos);
  EXPECT_EQ(lanes(2), "nothing");
}

TEST_F(ReadConfig, OneValueIsAListOfIt) {
  const Config one = read_config(write("a.toml", "[adapt]\nmethod = \"z\"\nshots = 16\ntasks = \"new.jsonl\"\n"), {});
  EXPECT_EQ(one.adapt.method, std::vector<std::string>{"z"});
  EXPECT_EQ(one.adapt.shots, std::vector<int64_t>{16});
  EXPECT_EQ(one.adapt.tasks, std::vector<std::string>{"new.jsonl"});
  write("b.toml", "[adapt]\nmethod = [\"z\", \"mu\"]\nshots = [4, 0]\n");
  EXPECT_EQ(read_config("b.toml", {}).adapt.method, (std::vector<std::string>{"z", "mu"}));
  EXPECT_EQ(read_config("b.toml", {}).adapt.shots, (std::vector<int64_t>{4, 0}));
  for (const char* shots : {"adapt.shots=4,32", "adapt.shots=[4, 32]"})
    EXPECT_EQ(read_config("b.toml", {shots}).adapt.shots, (std::vector<int64_t>{4, 32})) << shots;
  EXPECT_EQ(read_config("b.toml", {"adapt.shots=8"}).adapt.shots, std::vector<int64_t>{8});
  EXPECT_NE(complaints(write("c.toml", "[adapt]\nshots = [4, 1.5]\n")).find("got 1.5"), std::string::npos);
  EXPECT_NE(complaints(write("d.toml", "[adapt]\nmethod = 3\n")).find("got 3"), std::string::npos);
  EXPECT_NE(complaints(write("e.toml", "[data]\ntasks = \"\"\n")).find("expected a list"), std::string::npos);
}

TEST_F(ReadConfig, CheckpointsComeEverySoManyStepsOrMinutes) {
  const std::string file = write("a.toml", "");
  const auto every = [&](const std::string& value) {
    return read_config(file, {"checkpoint.every=" + value}).checkpoint.every;
  };
  EXPECT_EQ(every("40").steps, 40);
  EXPECT_EQ(every("'40 steps'").steps, 40);
  EXPECT_EQ(every("0").steps, 0);
  EXPECT_DOUBLE_EQ(every("10 minutes").minutes, 10);
  EXPECT_DOUBLE_EQ(every("'0.5 minutes'").minutes, 0.5);
  EXPECT_EQ(every("10 minutes").steps, 0);
  for (const std::string bad :
       {"-1", "1.5", "'10 hours'", "'minutes'", "'-3 minutes'", "'1.5 steps'", "'3 steps more'"})
    EXPECT_NE(complaints(file, {"checkpoint.every=" + bad}).find("expected a number of steps >= 0, or \"10 minutes\""),
              std::string::npos)
        << bad;
  const auto config = read_config(file, {"checkpoint.every=10 minutes"});
  EXPECT_NE(print_config(config).find("\nevery = \"10 minutes\""), std::string::npos);
}

TEST_F(ReadConfig, HeadsNobodySetAreOneWhereTheMethodHasNone) {
  const std::string file = write("a.toml", "");
  EXPECT_EQ(read_config(file, {}).poly.heads, 8);
  for (const char* method : {"poly", "shared", "private"}) {
    const Config config = read_config(file, {std::string("poly.method=") + method});
    EXPECT_EQ(config.poly.heads, 1) << method;
    EXPECT_EQ(read_config(write("printed.toml", print_config(config)), {}).poly.heads, 1) << method;
  }
}

// Every key moved off its default, printed, and read from another folder: the same Config.
TEST_F(ReadConfig, PrintedConfigReadsBackTheSame) {
  Config moved = read_config(write("a.toml", ""), {});
  for (const Key& key : config_keys()) {
    const Field field = key.field(moved);
    const bool choice = !key.check.choices.empty();
    if (auto* text = std::get_if<std::string*>(&field)) **text = choice ? key.check.choices.back() : "odd-name";
    if (auto* list = std::get_if<std::vector<std::string>*>(&field)) {
      **list = {"one \"1\"", "two\\\t\n"};
      if (choice) **list = {key.check.choices.back(), key.check.choices.front()};
    }
    if (auto* list = std::get_if<std::vector<int64_t>*>(&field)) **list = {7, 0};
    if (auto* table = std::get_if<std::map<std::string, std::string>*>(&field)) **table = {{"tomi", "t.jsonl"}};
    if (auto* every = std::get_if<Interval*>(&field)) **every = {0, 2.5};
    if (auto* flag = std::get_if<bool*>(&field)) **flag = !**flag;
    if (auto* number = std::get_if<int*>(&field)) **number += 1;
    if (auto* number = std::get_if<int64_t*>(&field)) **number += 1;
    if (auto* number = std::get_if<uint64_t*>(&field)) **number += 1;
    if (auto* number = std::get_if<double*>(&field)) **number = **number / 3 + 1e-7;
    if (auto* number = std::get_if<std::optional<double>*>(&field)) **number = 1.0 / 3;
  }
  moved.eval.methods = {"arrow"};
  moved.lora.targets = {"q_proj"};
  moved.cluster.independent = false;
  moved.cluster.ranks_per_expert = 1;
  moved.data.prompt = "a \"quoted\" {input}\nwith \\ and \x01 and ü";
  moved.cluster.lease_s = 33.25;
  moved.data.sampling_cap = 0;  // the last kind of sampling is temperature, the last method private, and so on
  moved.poly.heads = 1;
  moved.poly.adapter = "lora";
  moved.poly.average_from = 0;
  moved.train.combine = "sum";
  moved.adapt.loss = "lm";
  Config back = read_config(write("elsewhere/b.toml", print_config(moved)), {});
  for (const Key& key : config_keys()) EXPECT_EQ(toml_text(key.field(back)), toml_text(key.field(moved))) << key.full();
  EXPECT_EQ(back.origin.size(), config_keys().size());
}

TEST_F(ReadConfig, DefaultsPrintedReadBackTheSame) {
  Config defaults = read_config(write("a.toml", ""), {});
  Config back = read_config(write("elsewhere/b.toml", print_config(defaults)), {});
  for (const Key& key : config_keys())
    EXPECT_EQ(toml_text(key.field(back)), toml_text(key.field(defaults))) << key.full();
}

TEST(Schema, EveryKeyIsNamedOnceInAKnownSectionAndHasHelp) {
  std::vector<std::string> names = config_key_names(), sections;
  for (const auto& section : config_sections()) sections.push_back(section.name);
  for (const Key& key : config_keys()) {
    EXPECT_EQ(std::count(names.begin(), names.end(), key.full()), 1) << key.full();
    EXPECT_EQ(std::count(sections.begin(), sections.end(), key.section), 1) << key.full();
    EXPECT_GT(key.help.size(), 10u) << key.full();
  }
}

TEST(Configs, ThePapersRecipeReads) {
  const Config config = read_config(fs::path(GAGGLE_SOURCE_DIR) / "configs/paper/phatgoose.toml", {});
  EXPECT_EQ(config.train.steps, 1000);
  EXPECT_EQ(config.train.batch_size, 1024);
  EXPECT_EQ(config.lora.rank, 16);
  EXPECT_EQ(config.lora.alpha, 1);
  EXPECT_EQ(config.train.keep, "best");
  read_config(fs::path(GAGGLE_SOURCE_DIR) / "configs/base.toml", {});
}

}  // namespace
}  // namespace gaggle
