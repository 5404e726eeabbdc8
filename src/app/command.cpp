#include "app/command.h"

#include <map>
#include <memory>

#include "app/syntax.h"
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
          "How tables are written. As csv, json or markdown they are all that standard output holds: words go to standard error")
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
  return [&parser, run = std::move(run)](const std::vector<std::string>& overrides) {
    refuse_keys(parser, overrides);
    return run();
  };
}

void refuse_keys(const CLI::App& parser, const std::vector<std::string>& overrides) {
  if (!overrides.empty())
    user_error("--{}: {} takes no keys of the config; {} lists its options",
               overrides[0].substr(0, overrides[0].find('=')), typed(parser), help_hint(parser));
}

DeclareOptions with_actions(std::vector<Command> actions) {
  return [actions = std::move(actions)](CLI::App& parser) -> RunCommand {
    const auto runs = std::make_shared<std::map<const CLI::App*, RunCommand>>();
    parser.require_subcommand(1);
    for (const Command& action : actions) {
      CLI::App* inner = parser.add_subcommand(action.name, action.help);
      inner->footer(action.examples);
      runs->emplace(inner, action.declare(*inner));
    }
    return [&parser, runs](const std::vector<std::string>& overrides) {
      return runs->at(parser.get_subcommands()[0])(overrides);
    };
  };
}

}  // namespace gaggle
