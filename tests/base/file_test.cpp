// Big files are read as their file system wants it, to the same bytes.
#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/error.h"
#include "base/process.h"
#include "base/sha256.h"

namespace gaggle {
namespace {

TEST(FileSystem, KindsAreKnownByTheirMagic) {
  EXPECT_EQ(file_system_of_magic(0x6969).name, "NFS");
  EXPECT_EQ(file_system_of_magic(0x6969).reach, Reach::hosts);
  EXPECT_EQ(file_system_of_magic(0x0BD00BD0).name, "Lustre");
  EXPECT_EQ(file_system_of_magic(0xEF53).reach, Reach::host);
  EXPECT_EQ(file_system_of_magic(0x65735546).reach, Reach::perhaps);
  EXPECT_TRUE(file_system_of_magic(0x01021994).in_memory);
  EXPECT_EQ(file_system_of_magic(0xABCDEF).name, "file system 0xABCDEF");
  EXPECT_EQ(file_system_of_magic(0xABCDEF).reach, Reach::perhaps);
}

TEST(FileSystem, OfAPathThatIsNotThereYet) { EXPECT_EQ(file_system_of("/proc/no/such/folder").name, "proc"); }

TEST(OpenToRead, TellsTheUsersMistakesFromADiskThatFails) {
  EXPECT_THROW(open_to_read("/no/such/file"), UserError);
  EXPECT_THROW(open_to_read("/proc/self/cwd"), UserError);  // a folder
  EXPECT_THROW(open_to_read(std::string(5000, 'n')), UserError);
  EXPECT_EQ(entries_of("/no/such/folder"), fs::directory_iterator());
#ifndef __SANITIZE_ADDRESS__  // which needs descriptors of its own to look at what is thrown
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{0, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_THROW(open_to_read("/proc/self/maps"), SystemError);
  EXPECT_THROW(entries_of("/proc/self"), SystemError);
  ::setrlimit(RLIMIT_NOFILE, &limit);
#endif
}

TEST(MappedFile, BothWaysReadTheSame) {
  const fs::path path = fs::temp_directory_path() / ("gaggle_file_" + std::to_string(::getpid()));
  for (const size_t size : {size_t{0}, size_t{1}, (size_t{33} << 20) + 7}) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 2654435761u >> 13);
    write_file_atomic(path, bytes);
    for (const Reach reach : {Reach::host, Reach::hosts, Reach::perhaps}) {
      const MappedFile file(path, reach);
      ASSERT_EQ(file.bytes().size(), size);
      EXPECT_TRUE(std::ranges::equal(file.bytes(), std::as_bytes(std::span(bytes))));
    }
  }
  fs::remove(path);
  for (const Reach reach : {Reach::host, Reach::hosts, Reach::perhaps}) {
    EXPECT_THROW(MappedFile(path, reach), UserError);
    EXPECT_THROW(MappedFile(fs::temp_directory_path(), reach), UserError);
  }
}

TEST(File, AGitLfsPointerIsRefusedHoweverItIsRead) {
  const fs::path path = fs::temp_directory_path() / ("gaggle_lfs_" + std::to_string(::getpid()));
  write_file_atomic(path, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345678\n");
  const auto refusal = [](const auto& read) -> std::string {
    try {
      read();
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  };
  const std::string expected = path.string() + ": this is a Git LFS pointer";
  EXPECT_TRUE(refusal([&] { read_file(path); }).starts_with(expected));
  for (const Reach reach : {Reach::host, Reach::hosts})
    EXPECT_TRUE(refusal([&] { MappedFile(path, reach); }).starts_with(expected));
  write_file_atomic(path, "version 2\n");
  EXPECT_EQ(read_file(path), "version 2\n");
  fs::remove(path);
}

struct Scratch {
  fs::path folder = fs::temp_directory_path() / ("gaggle_scratch_" + std::to_string(::getpid()));
  Scratch() { fs::create_directories(folder); }
  ~Scratch() { fs::remove_all(folder); }
};

// What is no plain file may never give an end: it is refused when it is opened.
TEST(OpenToRead, APipeADeviceAndAFolderAreRefused) {
  const Scratch scratch;
  const fs::path pipe = scratch.folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const fs::path& path : {pipe, fs::path("/dev/zero"), scratch.folder}) {
    EXPECT_THROW(read_file(path), UserError) << path;
    EXPECT_THROW(MappedFile(path, Reach::host), UserError) << path;
    EXPECT_THROW(sha256_hex_of_file(path), UserError) << path;
  }
}

TEST(ReadFile, FromAPlaceOn) {
  const Scratch scratch;
  write_file_durable(scratch.folder / "a", "one two");
  EXPECT_EQ(read_file(scratch.folder / "a"), "one two");
  EXPECT_EQ(read_file(scratch.folder / "a", 4), "two");
  EXPECT_EQ(read_file(scratch.folder / "a", 40), "");
}

TEST(WriteFile, IsWrittenInTheStagingFolderWhereOneIsGiven) {
  const Scratch scratch;
  const fs::path staging = scratch.folder / "staging", file = scratch.folder / "there" / "file";
  fs::create_directories(staging);
  EXPECT_THROW(write_file_atomic(file, "new", staging), SystemError) << "no folder to rename it into";
  EXPECT_TRUE(fs::is_empty(staging));
  fs::create_directories(file.parent_path());
  write_file_atomic(file, "new", staging);
  EXPECT_EQ(read_file(file), "new");
  EXPECT_TRUE(fs::is_empty(staging));
}

TEST(WriteFile, NothingIsWrittenThroughALink) {
  const Scratch scratch;
  const fs::path victim = scratch.folder / "victim", link = scratch.folder / "link";
  write_file_durable(victim, "precious");
  const auto atomically = [](const fs::path& path, std::string_view bytes) { write_file_atomic(path, bytes); };
  for (const bool atomic : {false, true}) {
    fs::remove(link);
    fs::create_symlink(victim, link);
    atomic ? atomically(link, "new") : write_file_durable(link, "new");
    EXPECT_EQ(read_file(victim), "precious");
    EXPECT_EQ(read_file(link), "new");
    EXPECT_FALSE(fs::is_symlink(link));
  }
}

TEST(WriteFile, OthersMayReadWhatTheUmaskLetsThem) {
  const Scratch scratch;
  write_file_atomic(scratch.folder / "a", "text");
  const mode_t mask = ::umask(022);
  ::umask(mask);
  EXPECT_EQ(static_cast<mode_t>(fs::status(scratch.folder / "a").permissions()), 0666 & ~mask);
  const fs::path made = make_folder_beside(scratch.folder / "out");
  EXPECT_EQ(static_cast<mode_t>(fs::status(made).permissions()), 0700u);
  EXPECT_NE(made, make_folder_beside(scratch.folder / "out"));
}

// As on a shared folder: several write one file, and every reader sees one of their versions whole.
TEST(WriteFileAtomic, WritersOfOneFileDoNotMix) {
  const fs::path path = fs::temp_directory_path() / ("gaggle_atomic_" + std::to_string(::getpid()));
  write_file_atomic(path, std::string(100'000, 'a'));
  std::vector<std::thread> writers;
  for (const char letter : {'a', 'b', 'c', 'd'})
    writers.emplace_back([&, letter] {
      for (int i = 0; i < 20; ++i) write_file_atomic(path, std::string(100'000, letter));
    });
  for (int i = 0; i < 200; ++i) {
    const std::string text = read_file(path);
    ASSERT_EQ(text, std::string(100'000, text.at(0)));
  }
  for (std::thread& writer : writers) writer.join();
  fs::remove(path);
}

TEST(FileTag, TellsWhetherItsProcessLives) {
  ProcessId process = this_process();
  EXPECT_EQ(life_of_tag(file_tag(process) + "-7"), Life::alive);
  process.start_ticks += 1;
  EXPECT_EQ(life_of_tag(file_tag(process)), Life::gone);
  process.kernel += "of another host";
  EXPECT_EQ(life_of_tag(file_tag(process)), Life::unknown);
  EXPECT_EQ(life_of_tag("anything"), Life::unknown);
}

}  // namespace
}  // namespace gaggle
