// gaggle status: who works on what in a registry or a run folder, from any terminal. Reads files alone.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/command.h"
#include "app/where.h"
#include "base/file.h"
#include "base/log.h"
#include "base/shell_word.h"
#include "base/terminal.h"
#include "report/status_text.h"
#include "workflow/status.h"

namespace gaggle {
namespace {

struct StatusOptions {
  std::string path;  // a registry, a run folder or a config; "": ./registry
  bool json = false;
  bool watch = false;  // again every few seconds until all is done
};

bool over(const std::vector<WorkStatus>& all) {
  return std::ranges::all_of(all, [](const WorkStatus& status) {
    return status.count(ItemState::done) + status.count(ItemState::aside) >= status.items.size();
  });
}

std::vector<WorkStatus> look(std::vector<WorkPlace>& places) {
  std::vector<WorkStatus> all;
  for (WorkPlace& place : places) all.push_back(place.reader->look());
  return all;
}

// Until workers of other hosts are judged.
std::vector<WorkStatus> look_twice(std::vector<WorkPlace>& places) {
  std::vector<WorkStatus> all = look(places);
  while (std::ranges::any_of(places, [](const WorkPlace& place) { return place.reader->undecided(); })) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    all = look(places);
  }
  return all;
}

void show(const std::vector<WorkPlace>& places, const std::vector<WorkStatus>& all, const StatusOptions& options) {
  const char* terminal = std::getenv("TERM");
  const bool can_clear = ::isatty(STDOUT_FILENO) && terminal && std::string_view(terminal) != "dumb";
  if (options.watch && !options.json && can_clear) std::fputs("\x1b[H\x1b[2J", stdout);
  auto json = nlohmann::ordered_json::array();
  for (size_t i = 0; i < all.size(); ++i) {
    if (options.json)
      json.push_back(status_json(places[i].kind, all[i]));
    else
      (Page(i > 0 ? "\n" : "") + status_page(places[i].kind, all[i])).print();
  }
  if (options.json)
    write_out(json.dump(options.watch ? -1 : 2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n");
}

// To standard error: what is there is the page's last word.
void say_next(const std::vector<WorkStatus>& all, const StatusOptions& options) {
  if (options.json || all.empty()) return;
  if (std::ranges::any_of(all, [](const WorkStatus& status) { return status.workers > 0; }))
    log::info("next: gaggle status {}{}--watch", options.path.empty() ? "" : shell_word(options.path),
              options.path.empty() ? "" : " ");
  else if (fs::exists(all[0].folder / "registry.json"))
    log::info("next: gaggle registry ls {}", shell_word(all[0].folder.string()));
}

// Of a config: its run's, or where that was never started its registry's.
std::vector<WorkPlace> places_of(const CLI::App& parser, const StatusOptions& options,
                                 const std::vector<std::string>& overrides) {
  std::vector<std::string> words;
  if (!options.path.empty()) words = {options.path};
  if (!options.path.empty() && !is_config(options.path)) {
    refuse_keys(parser, overrides);
    return work_places(options.path);
  }
  const Where where = take_registry(parser, words, "", overrides);
  if (where.config) {
    const fs::path run = fs::path(where.config->run.dir) / where.config->run.full_name();
    if (fs::exists(run)) return work_places(run);
    if (!fs::exists(fs::path(where.folder) / "registry.json"))
      user_error("{}: nothing was started yet: neither {} nor {} is there", where.config->file, run.string(),
                 where.folder);
  }
  need_registry(parser, where);
  return work_places(where.folder);
}

Exit show_status(std::vector<WorkPlace> places, const StatusOptions& options) {
  std::vector<WorkStatus> all = options.watch ? look(places) : look_twice(places);
  show(places, all, options);
  while (options.watch && !over(all)) {
    std::this_thread::sleep_for(std::chrono::seconds(2));
    all = look(places);
    show(places, all, options);
  }
  say_next(all, options);
  return Exit::done;
}

}  // namespace

Command status_command() {
  return {"status", "Who works on what, and what is done, open and set aside",
          [](CLI::App& parser) -> RunCommand {
            const auto options = std::make_shared<StatusOptions>();
            parser
                .add_option("PATH", options->path, "A config, a run folder (runs/demo) or a registry; none: ./registry")
                ->option_text("[CONFIG|RUN|REGISTRY]");
            parser.add_flag("--json", options->json, "Print it for machines");
            parser.add_flag("--watch", options->watch, "Look again every few seconds until all is done");
            return [&parser, options](const std::vector<std::string>& overrides) {
              return show_status(places_of(parser, *options, overrides), *options);
            };
          },
          "gaggle status my.toml --watch\ngaggle status runs/demo --json"};
}

}  // namespace gaggle
