// Big files are read as their file system wants it, to the same bytes.
#include "base/file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/error.h"
#include "base/process.h"

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
