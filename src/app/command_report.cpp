// gaggle report PATH…: a page with pictures of what runs, registries and evaluations left. Drawn by tools/report.py, which takes
// this process's place.
#include <unistd.h>

#include <memory>

#include "app/command.h"
#include "base/file.h"

namespace gaggle {
namespace {

struct ReportOptions {
  std::vector<std::string> paths;
  std::string out;  // "": report-NAME.html in the current folder
  bool open = false;
};

// Beside the build folder, or where an installed program has it.
fs::path report_starter() {
  const fs::path folder = fs::read_symlink("/proc/self/exe").parent_path();
  for (const char* place : {"../tools/report/run.sh", "../share/gaggle/tools/report/run.sh"})
    if (const fs::path script = (folder / place).lexically_normal(); fs::exists(script)) return script;
  user_error(
      "gaggle report is drawn by tools/report.py, which does not lie beside {}: start the gaggle of a checkout or of an "
      "installation",
      folder.string());
}

// Returns only where nothing could be started.
Exit start_report(const ReportOptions& options) {
  std::vector<std::string> words = {"bash", report_starter().string()};
  if (!options.out.empty()) words.insert(words.end(), {"--out", options.out});
  if (options.open) words.emplace_back("--open");
  words.emplace_back("--");
  words.insert(words.end(), options.paths.begin(), options.paths.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp("bash", arguments.data());
  system_error("bash: cannot be started");
}

}  // namespace

Command report_command() {
  return {"report", "Draw runs, registries and evaluations as one HTML page that opens offline",
          [](CLI::App& parser) {
            const auto options = std::make_shared<ReportOptions>();
            parser
                .add_option(
                    "PATH", options->paths,
                    "Run folders, registries, evaluations, adaptations, clusters, studies, or folders that hold some")
                ->required();
            parser
                .add_option("--out", options->out,
                            "The file (default: report-NAME.html here, NAME being the first PATH's)")
                ->option_text("FILE");
            parser.add_flag("--open", options->open, "Open it in the browser");
            return without_config(parser, [options] { return start_report(*options); });
          },
          "gaggle report runs/demo registry --open"};
}

}  // namespace gaggle
