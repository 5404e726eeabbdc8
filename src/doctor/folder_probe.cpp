#include "doctor/folder_probe.h"

#include <set>

#include "base/file.h"
#include "base/process.h"
#include "doctor/folder_trials.h"

namespace gaggle {
namespace {

const std::string trial_prefix = ".gaggle-doctor-";

// Removes what a doctor left that was killed on this host.
void sweep_trials(const fs::path& folder) {
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(trial_prefix) && life_of_tag(name.substr(trial_prefix.size())) == Life::gone)
      fs::remove_all(entry.path(), failed);
  }
}

// Removes a folder with all that is in it in the end, whatever happens until then; "": none.
struct RemovedAtEnd {
  fs::path folder;
  ~RemovedAtEnd() {
    std::error_code ignored;
    if (!folder.empty()) fs::remove_all(folder, ignored);
  }
};

// The trials, whole on the first rank. One rank alone has a second thread to race with.
void probe_among(Communicator& comm, const std::string& host, const fs::path& place, const ProbeOptions& options,
                 LeaseFiles& files, FolderFacts& facts) {
  if (comm.size() == 1) {
    const FolderFacts before = facts;
    run_as_threads(2, 600, [&](Communicator& two) {
      FolderFacts found = before;
      probe_among(two, host, place, options, files, found);
      if (two.rank() == 0) facts = found;
    });
    return;
  }
  Trial trial(comm, host, place, files);
  try_replacing(trial, options.share_s, facts);
  try_create_races(trial, options.share_s, facts);
  try_commit_races(trial, options.share_s / 2, facts);
  try_visibility(trial, options.patience_s, facts);
  try_links_and_locks(trial, facts);
  try_fsync(trial, facts);
  try_small_files(trial, options.share_s / 2, facts);
  try_speed(trial, options.megabytes, facts);
  const auto complaints = comm.all_gather_text(trial.failed);
  for (size_t rank = 0; rank < complaints.size() && facts.failed.empty(); ++rank)
    if (!complaints[rank].empty()) facts.failed = fmt::format("{} on {}", complaints[rank], trial.hosts[rank]);
}

}  // namespace

FolderFacts probe_folder(Communicator& comm, const std::string& host, const fs::path& folder,
                         const ProbeOptions& options, LeaseFiles& files) {
  FolderFacts facts;
  facts.folder = folder;
  facts.system = file_system_of(folder);
  std::error_code unknown;
  if (const auto space = fs::space(folder, unknown); !unknown) facts.free_bytes = space.available;
  const auto hosts = comm.all_gather_text(host);
  // The first rank makes a folder for the trials, and names it for all.
  const fs::path place = folder / comm.all_gather_text(trial_prefix + file_tag(this_process()))[0];
  const bool first = comm.rank() == 0;
  const RemovedAtEnd removed{first ? place : fs::path()};
  std::error_code refused;
  if (first) sweep_trials(folder);
  if (first) fs::create_directory(place, refused);
  const std::string failed = comm.all_gather_text(refused ? refused.message() : "")[0];
  if (!failed.empty()) {
    facts.failed = fmt::format("{} cannot be written to ({}) on {}", folder.string(), failed, hosts[0]);
    return facts;
  }
  std::error_code missing;
  const bool seen = !seconds_until([&] { return fs::exists(place, missing); }, options.patience_s).never;
  const auto who_sees = gather_values(comm, static_cast<char>(seen));
  std::set<std::string> seeing, blind;
  for (size_t rank = 0; rank < hosts.size(); ++rank) (who_sees[rank] ? seeing : blind).insert(hosts[rank]);
  facts.blind_hosts = {blind.begin(), blind.end()};
  facts.hosts = static_cast<int>(seeing.size());
  // Ranks that do not see it wait at the barrier; the others go on among themselves.
  const auto group = comm.split(seen ? 0 : 1);
  facts.ranks = group->size();
  if (seen) probe_among(*group, host, place, options, files, facts);
  comm.barrier();
  return facts;
}

}  // namespace gaggle
