// Folder after folder into a registry.
#include <deque>
#include <functional>
#include <future>
#include <set>

#include "base/error.h"
#include "base/long_phase.h"
#include "base/table.h"
#include "registry/import.h"
#include "registry/outside.h"

namespace gaggle {
namespace {

// Commits that go on beside the reading of the next folders: each waits for its own fsyncs, and a disk or a server does
// many of them in hardly more time than one. Names differ, so that no two of them touch one folder.
class Commits {
 public:
  explicit Commits(Registry registry) : registry_(std::move(registry)) {}
  // `then` is told the version that was committed, in order. Throws what an earlier commit threw.
  void add(NewVersion version, std::function<void(const std::string&)> then) {
    size_t bytes = 0;
    for (const auto& [name, text] : version.files) bytes += text.size();
    while (!running_.empty() && (running_.size() >= most || bytes_ + bytes > most_bytes)) finish_one();
    bytes_ += bytes;
    running_.push_back(
        {std::async(std::launch::async, [this, version = std::move(version)] { return registry_.commit(version); }),
         bytes, std::move(then)});
  }
  void finish() {
    while (!running_.empty()) finish_one();
  }

 private:
  static constexpr size_t most = 32, most_bytes = size_t{64} << 20;  // in memory, unless one has more
  struct Running {
    std::future<std::string> version;
    size_t bytes;
    std::function<void(const std::string&)> then;
  };
  void finish_one() {
    Running first = std::move(running_.front());
    running_.pop_front();
    bytes_ -= first.bytes;
    first.then(first.version.get());
  }

  Registry registry_;
  std::deque<Running> running_;  // whose destructors wait
  size_t bytes_ = 0;
};

}  // namespace

ImportReport import_folders(const fs::path& registry, const std::vector<std::string>& folders, const std::string& name,
                            const std::string& base, bool accept_base, const ImportOptions& options) {
  std::optional<BaseShapes> shapes;
  if (!base.empty()) {
    const auto model = open_model(base, "");
    shapes = {{model->spec().name, shapes_digest(model->weights()), ""}, model->weights()};
  }
  ImportReport report;
  std::vector<std::vector<Cell>> lines;
  std::optional<Commits> commits;
  std::set<std::string> names;
  // Read one after the other, so that few adapters at a time lie in memory.
  LongPhase phase("importing " + plural(folders.size(), "folder"), static_cast<double>(folders.size()));
  for (const std::string& folder : folders) {
    phase.add(folder == folders.front() ? 0 : 1);
    const std::string as = name.empty() ? named_folder(folder).filename().string() : name;
    NewVersion version;
    try {
      version = read_import(folder, as, shapes, options);
      if (!names.insert(as).second) user_error("another folder of this import is named {} too", as);
    } catch (const UserError& error) {
      lines.push_back({folder, "refused", "", error_text(error)});
      ++report.refused;
      continue;
    }
    if (!commits)
      commits.emplace(Registry::open(registry, shapes ? std::optional(shapes->fingerprint) : std::nullopt,
                                     /*create=*/true, accept_base));
    const std::string kind = version.kind == Kind::expert ? "" : fmt::format("{}/", words_of(version.kind).folder);
    lines.push_back({folder, "accepted", kind + version.name + "@",
                     (shapes ? "fits " + shapes->fingerprint.name : "base unverified (--base MODEL checks it)") +
                         remarks_on(version)});
    commits->add(std::move(version),
                 [&lines, line = lines.size() - 1](const std::string& number) { lines[line][2].text += number; });
  }
  if (commits) commits->finish();
  Table table({"folder", "verdict", "as", "why"});
  for (auto& line : lines) table.add(std::move(line));
  report.page = Page(std::move(table)) +
                fmt::format("{} accepted, {} refused\n", folders.size() - report.refused, report.refused);
  return report;
}

}  // namespace gaggle
