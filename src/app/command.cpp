#include "app/command.h"

#include <map>
#include <memory>

#include "base/terminal.h"
#include "cluster/stop.h"
#include "config/read.h"

namespace gaggle {

Exit print(const std::string& text) {
  write_out(text);
  return Exit::done;
}

Exit print(const Page& page) {
  page.print();
  return Exit::done;
}

void add_format(CLI::App& parser) {
  std::map<std::string, TableFormat> formats;
  for (const char* name : table_formats) formats[name] = static_cast<TableFormat>(formats.size());
  parser
      .add_option_function<std::string>(
          "--format", [formats](const std::string& name) { set_table_format(formats.at(name)); },
          "Tables as text, csv, json or markdown; but as text they are all of standard output, words go to standard error")
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(table_formats), std::end(table_formats))));
}

RunCommand with_config(CLI::App& parser, std::function<Exit(const Config&)> run) {
  struct Given {
    std::string file;
    bool print = false;
  };
  const auto given = std::make_shared<Given>();
  parser.add_option("CONFIG", given->file, "The config file (TOML)")->required();
  parser.add_flag("--print-config", given->print, "Print the resolved config, commented, and leave");
  return [given, run = std::move(run)](const std::vector<std::string>& overrides) {
    const Config config = read_config(given->file, overrides);
    return given->print ? print(print_config(config)) : run(config);
  };
}

DeclareOptions with_job_options(std::function<Exit(const Config&, const JobOptions&)> run) {
  return [run = std::move(run)](CLI::App& parser) -> RunCommand {
    const auto options = std::make_shared<JobOptions>();
    RunCommand command = with_config(parser, [options, run](const Config& config) {
      watch_for_stop({}, config.run.max_minutes);
      return run(config, *options);
    });
    parser.add_flag("--dry-run", options->dry_run, "Load and check everything, print the plan, start nothing");
    parser.add_flag("--accept-base", options->accept_base,
                    "Write to a registry whose base has the same shapes but other contents");
    add_format(parser);
    parser.add_flag("--retry", options->retry, "Take up items that were set aside");
    return [command](const std::vector<std::string>& overrides) {
      // A stop request may come while the model is still being read: from the first moment on it must not kill a job.
      watch_for_stop({}, 0);
      return command(overrides);
    };
  };
}

RunCommand without_config(CLI::App& parser, std::function<Exit()> run) {
  return [name = parser.get_name(), run = std::move(run)](const std::vector<std::string>& overrides) {
    if (!overrides.empty())
      user_error("--{}: gaggle {} takes no keys of the config; gaggle {} --help lists its options",
                 overrides[0].substr(0, overrides[0].find('=')), name, name);
    return run();
  };
}

}  // namespace gaggle
