// gaggle doctor: examines the machine, hosts and folders of a run to come, or reads what a hung run left.
#include <cstdio>

#include "app/command_line.h"
#include "app/commands.h"
#include "base/file.h"
#include "config/read.h"
#include "doctor/collective_records.h"
#include "doctor/examine.h"

namespace gaggle {

Exit command_doctor(const DoctorOptions& options, const std::vector<std::string>& overrides) {
  const bool is_run_folder = !options.where.empty() && fs::is_directory(options.where);
  if ((options.where.empty() || is_run_folder) && !overrides.empty())
    user_error("--{}: a key of the config needs its CONFIG: gaggle doctor CONFIG --{}", overrides[0],
               overrides[0]);
  if (is_run_folder) {
    if (!options.folders.empty())
      user_error("--folder: gaggle doctor RUNDIR reads the records of a run and takes no other option");
    std::fputs(collective_records_text(options.where).c_str(), stdout);
    return Exit::done;
  }
  for (const std::string& folder : options.folders)
    if (!fs::is_directory(folder)) user_error("--folder {}: there is no such folder; make it first", folder);
  if (options.where.empty()) return examine({version_text(), nullptr, options.folders, options.megabytes});
  const Config config = read_config(options.where, overrides);
  return examine({version_text(), &config, options.folders, options.megabytes});
}

}  // namespace gaggle
