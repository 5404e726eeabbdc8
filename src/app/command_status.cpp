// gaggle status: who works on what in a registry or a run folder, from any terminal. Reads files alone.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/command.h"
#include "base/terminal.h"
#include "report/status_text.h"
#include "workflow/status.h"

namespace gaggle {
namespace {

struct StatusOptions {
  std::string path;  // a registry or a run folder
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
  if (options.watch && !options.json && ::isatty(STDOUT_FILENO)) std::fputs("\x1b[H\x1b[2J", stdout);
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

Exit show_status(const StatusOptions& options) {
  std::vector<WorkPlace> places = work_places(options.path);
  std::vector<WorkStatus> all = options.watch ? look(places) : look_twice(places);
  show(places, all, options);
  while (options.watch && !over(all)) {
    std::this_thread::sleep_for(std::chrono::seconds(2));
    all = look(places);
    show(places, all, options);
  }
  return Exit::done;
}

}  // namespace

Command status_command() {
  return {"status", "Who works on what, and what is done, open and set aside", [](CLI::App& parser) {
            const auto options = std::make_shared<StatusOptions>();
            parser.add_option("PATH", options->path, "A registry or a run folder, e.g. runs/demo")->required();
            add_format(parser);
            parser.add_flag("--json", options->json, "Print it for machines");
            parser.add_flag("--watch", options->watch, "Look again every few seconds until all is done");
            return without_config(parser, [options] { return show_status(*options); });
          }};
}

}  // namespace gaggle
