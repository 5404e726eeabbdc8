// What a folder may be used for: probed among threads, with files that misbehave too; and judged from facts.
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "doctor/folder_verdict.h"

namespace gaggle {
namespace {

constexpr ProbeOptions quick = {2, 0.2, 0.05};

struct FolderTest : testing::Test {
  fs::path folder = fs::temp_directory_path() / ("gaggle_probe_" + std::to_string(::getpid()));
  void SetUp() override { fs::create_directory(folder); }
  void TearDown() override { fs::remove_all(folder); }

  FolderFacts probe(int ranks, LeaseFiles& files) const {
    FolderFacts facts;
    if (ranks == 1) return probe_folder(*make_self(), "here", folder, quick, files);
    run_as_threads(ranks, 60, [&](Communicator& comm) {
      const FolderFacts found = probe_folder(comm, "here", folder, quick, files);
      if (comm.rank() == 0) facts = found;
    });
    return facts;
  }
};

TEST_F(FolderTest, ALocalFolderIsFitAndLeftEmpty) {
  for (const int ranks : {1, 3}) {
    LeaseFiles files;
    const FolderFacts facts = probe(ranks, files);
    EXPECT_EQ(facts.failed, "");
    EXPECT_EQ(facts.ranks, ranks);
    EXPECT_EQ(facts.hosts, 1);
    EXPECT_GT(facts.replaced, 0);
    EXPECT_GT(facts.reads, 0);
    EXPECT_EQ(facts.torn + facts.missing, 0);
    EXPECT_GT(facts.create_races, 0);
    EXPECT_EQ(facts.create_races_wrong, 0);
    EXPECT_GT(facts.commit_races, 0);
    EXPECT_EQ(facts.commit_races_wrong, 0);
    EXPECT_TRUE(facts.taken_name_refused);
    EXPECT_FALSE(facts.by_name.never || facts.in_listing.never || facts.counter.never);
    EXPECT_GT(facts.fsync_s, 0);
    EXPECT_GT(facts.write_bytes_per_s, 0);
    EXPECT_GT(facts.read_bytes_per_s, 0);
    EXPECT_GT(facts.creates_per_s, 0);
    EXPECT_GT(facts.free_bytes, 0u);
    EXPECT_LT(std::abs(facts.server_clock_s), 60);
    EXPECT_EQ(judge(facts).registry_here.fitness, Fitness::yes);
    EXPECT_TRUE(fs::is_empty(folder));
  }
}

// A file system without O_EXCL, as old NFS was: everybody wins.
struct EverybodyWins : LeaseFiles {
  bool create_exclusive(const fs::path& path, const std::string& content) override {
    LeaseFiles::create_exclusive(path, content);
    return true;
  }
};

TEST_F(FolderTest, RacesWithTwoWinnersAreSeen) {
  EverybodyWins files;
  const FolderFacts facts = probe(2, files);
  EXPECT_GT(facts.create_races, 0);
  EXPECT_EQ(facts.create_races_wrong, facts.create_races);
  EXPECT_EQ(judge(facts).registry_here.fitness, Fitness::no);
  EXPECT_EQ(judge(facts).cache.fitness, Fitness::yes);
}

// What was read or listed once is said for ever.
struct Remembers : LeaseFiles {
  std::mutex mutex;
  std::map<std::string, std::string> contents;
  std::map<std::string, std::vector<std::string>> lists;
  std::optional<std::string> read(const fs::path& path) override {
    const auto content = LeaseFiles::read(path);
    const std::lock_guard lock(mutex);
    if (!content) return content;
    return contents.emplace(path.string(), *content).first->second;
  }
  std::vector<std::string> list(const fs::path& path) override {
    const auto names = LeaseFiles::list(path);
    const std::lock_guard lock(mutex);
    return lists.emplace(path.string(), names).first->second;
  }
};

TEST_F(FolderTest, ChangesThatNobodySeesAskForLongLeases) {
  Remembers files;
  const FolderFacts facts = probe(2, files);
  EXPECT_TRUE(facts.counter.never);
  EXPECT_TRUE(facts.in_listing.never);
  EXPECT_FALSE(facts.by_name.never);
  EXPECT_GE(judge(facts).least_lease_s, 144);
}

struct FullDisk : LeaseFiles {
  bool create_exclusive(const fs::path& path, const std::string&) override {
    system_error("{}: cannot be made (No space left on device)", path.string());
  }
};

TEST_F(FolderTest, AFailureIsNotedWithItsHostAndEndsNothing) {
  FullDisk files;
  const FolderFacts facts = probe(2, files);
  EXPECT_NE(facts.failed.find("No space left on device"), std::string::npos);
  EXPECT_NE(facts.failed.find("on here"), std::string::npos);
  for (const FolderUse& use : {judge(facts).registry_here, judge(facts).run_folder, judge(facts).cache})
    EXPECT_EQ(use.fitness, Fitness::no);
  EXPECT_TRUE(fs::is_empty(folder));
}

TEST_F(FolderTest, WhatAKilledDoctorLeftIsSwept) {
  ProcessId gone = this_process();
  gone.start_ticks += 1;
  fs::create_directory(folder / (".gaggle-doctor-" + file_tag(gone)));
  fs::create_directory(folder / (".gaggle-doctor-" + file_tag(this_process()) + "-other"));
  LeaseFiles files;
  probe(1, files);
  EXPECT_FALSE(fs::exists(folder / (".gaggle-doctor-" + file_tag(gone))));
  EXPECT_TRUE(fs::exists(folder / (".gaggle-doctor-" + file_tag(this_process()) + "-other")));
}

TEST_F(FolderTest, AFolderThatIsNotThereIsNamed) {
  LeaseFiles files;
  const FolderFacts facts = probe_folder(*make_self(), "here", folder / "gone", quick, files);
  EXPECT_NE(facts.failed.find("gone cannot be written to"), std::string::npos);
}

FolderFacts sound(FileSystem system) {
  FolderFacts facts;
  facts.system = std::move(system);
  facts.reads = facts.create_races = facts.commit_races = 10;
  facts.taken_name_refused = true;
  return facts;
}

TEST(FolderVerdict, SeveralHostsNeedOneFolder) {
  FolderFacts local = sound(file_system_of_magic(0xEF53));
  EXPECT_EQ(judge(local).registry_everywhere.fitness, Fitness::no);
  EXPECT_NE(judge(local).registry_everywhere.why.find("ext4"), std::string::npos);
  FolderFacts nfs = sound(file_system_of_magic(0x6969));
  EXPECT_EQ(judge(nfs).registry_everywhere.fitness, Fitness::not_known);
  nfs.hosts = 2;
  EXPECT_EQ(judge(nfs).registry_everywhere.fitness, Fitness::yes);
  nfs.blind_hosts = {"node3"};
  EXPECT_EQ(judge(nfs).registry_everywhere.fitness, Fitness::no);
  EXPECT_NE(judge(nfs).registry_everywhere.why.find("node3"), std::string::npos);
  EXPECT_EQ(judge(nfs).registry_here.fitness, Fitness::yes);
}

TEST(FolderVerdict, MemoryIsFitButForgets) {
  const FolderVerdict verdict = judge(sound(file_system_of_magic(0x01021994)));
  EXPECT_EQ(verdict.registry_here.fitness, Fitness::yes);
  EXPECT_NE(verdict.registry_here.why.find("in memory"), std::string::npos);
  EXPECT_NE(verdict.run_folder.why.find("in memory"), std::string::npos);
}

TEST(FolderVerdict, EveryBrokenPromiseIsNamed) {
  const auto why = [](const std::function<void(FolderFacts&)>& broken) {
    FolderFacts facts = sound(file_system_of_magic(0x6969));
    broken(facts);
    EXPECT_EQ(judge(facts).registry_here.fitness, Fitness::no);
    return judge(facts).registry_here.why;
  };
  EXPECT_NE(why([](auto& f) { f.torn = 1; }).find("half-written"), std::string::npos);
  EXPECT_NE(why([](auto& f) { f.missing = 1; }).find("missing for readers"), std::string::npos);
  EXPECT_NE(why([](auto& f) { f.create_races_wrong = 1; }).find("O_EXCL"), std::string::npos);
  EXPECT_NE(why([](auto& f) { f.commit_races_wrong = 1; }).find("could be lost"), std::string::npos);
  EXPECT_NE(why([](auto& f) { f.taken_name_refused = false; }).find("could be lost"), std::string::npos);
}

TEST(FolderVerdict, LeasesOutlastWhatOthersSeeLate) {
  EXPECT_EQ(least_lease({0.001, false}, 0.01), 10);
  EXPECT_EQ(least_lease({10, false}, 2), 29);
  EXPECT_EQ(least_lease({3, true}, 0), 144);
}

}  // namespace
}  // namespace gaggle
