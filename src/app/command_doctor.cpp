// gaggle doctor: examines the machine, hosts and folders of a run to come, or reads what a hung run left.
#include "app/command.h"
#include "app/ranges.h"
#include "base/file.h"
#include "base/log.h"
#include "base/shell_word.h"
#include "config/read.h"
#include "doctor/collective_records.h"
#include "doctor/examine.h"
#include "job/plan.h"

namespace gaggle {
namespace {

struct DoctorOptions {
  std::string where;                 // a config file, a run folder, or "": the machine alone
  std::vector<std::string> folders;  // --folder: looked at besides the config's
  int64_t megabytes = 64;            // --mb: written and read by one rank of each host, per folder
};

Exit command_doctor(const DoctorOptions& options, const std::vector<std::string>& overrides) {
  const bool is_run_folder = !options.where.empty() && fs::is_directory(options.where);
  if ((options.where.empty() || is_run_folder) && !overrides.empty())
    user_error("--{}: a key of the config needs its CONFIG: gaggle doctor CONFIG --{}", overrides[0], overrides[0]);
  if (is_run_folder) {
    if (!options.folders.empty())
      user_error("--folder: gaggle doctor RUNDIR reads the records of a run and takes no other option");
    return print(collective_records_block(options.where));
  }
  for (const std::string& folder : options.folders)
    if (!fs::is_directory(folder)) user_error("--folder {}: there is no such folder; make it first", folder);
  if (options.where.empty()) return examine({program_text(), nullptr, options.folders, options.megabytes});
  const Config config = read_config(options.where, overrides);
  const Exit code = examine({program_text(), &config, options.folders, options.megabytes});
  if (code == Exit::done)
    log::info("next: gaggle experts {} --dry-run says what a run will do and need", shell_word(options.where));
  return code;
}

}  // namespace

Command doctor_command() {
  return {"doctor", "Are machine, hosts, MPI, GPUs and folders fit for a run? (also under mpirun)",
          [](CLI::App& parser) {
            const auto options = std::make_shared<DoctorOptions>();
            parser
                .add_option("CONFIG", options->where,
                            "The config whose folders are meant, or a run folder: what its ranks were at when it "
                            "hung; none: this machine alone")
                ->option_text("[CONFIG|RUN]");
            parser.add_option("--folder", options->folders, "Also look at this folder (several: repeat it)")
                ->option_text("FOLDER")
                ->take_all();
            parser.add_option("--mb", options->megabytes, "Megabytes that each host writes and reads per folder")
                ->option_text("N")
                ->check(integer_from(1))
                ->capture_default_str();
            return [options](const std::vector<std::string>& overrides) { return command_doctor(*options, overrides); };
          },
          "gaggle doctor my.toml\nmpirun -np 16 gaggle doctor my.toml\ngaggle doctor runs/demo"};
}

}  // namespace gaggle
