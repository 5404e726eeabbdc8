// How a collection grows: by name, keeping what it pins beside; and the experts that are routed through.
#include <map>
#include <nlohmann/json.hpp>
#include <ranges>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/names.h"
#include "base/sha256.h"
#include "registry/pins.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

const std::string list_of_experts = "experts:";  // no name has a colon

// Whether `gaggle adapt` made it.
bool is_adapted(const Version& expert) {
  try {
    return object_at(read_sidecar(expert), "recipe").contains("adapt");
  } catch (const UserError&) {
    return false;  // it cannot be read: who collects it says so
  }
}

}  // namespace

std::vector<std::string> grown(const Registry& registry, const std::string& name, const std::vector<std::string>& add,
                               const std::vector<std::string>& drop) {
  const auto collection = registry.find(Kind::collection, name);
  const auto pins = collection ? read_pins(*collection) : std::vector<PinnedExpert>();
  std::map<std::string, std::string> added;
  for (const std::string& text : add)
    if (const std::string expert = parse_pin(text, "expert").name; !added.emplace(expert, text).second)
      user_error("collection {}: expert {} is named twice", name, expert);
  std::set<std::string> dropped(drop.begin(), drop.end());
  std::vector<std::string> experts;
  for (const PinnedExpert& pinned : pins) {
    const std::string& expert = pinned.pin.name;
    if (dropped.erase(expert) > 0) continue;
    const auto ours = added.find(expert);
    experts.push_back(ours == added.end() ? pinned_expert(registry, *collection, pinned).pin() : ours->second);
    if (ours != added.end()) added.erase(ours);
  }
  if (!dropped.empty() && !collection)
    user_error("--drop {}: there is no collection {} yet; name the experts that it is to have", *dropped.begin(), name);
  if (!dropped.empty()) user_error("--drop {}: collection {} does not pin it", *dropped.begin(), collection->pin());
  for (const std::string& text : add)
    if (added.erase(parse_pin(text, "expert").name) > 0) experts.push_back(text);
  return experts;
}

std::string grow(Registry& registry, const std::string& name, const std::vector<std::string>& add) {
  const auto before = registry.find(Kind::collection, name);
  const int seen = before ? *version_number(before->version) : 0;
  const std::string version = registry.collect(name, grown(registry, name, add));
  std::map<std::string, std::string> missed;  // of versions that came between the look and the commit
  for (int between = seen + 1; between < *version_number(version); ++between)
    if (const auto other = registry.find(Kind::collection, name + "@" + version_name(between)))
      for (const PinnedExpert& pinned : read_pins(*other)) missed[pinned.pin.name] = pinned.pin.text();
  for (const PinnedExpert& ours : read_pins(registry.load(Kind::collection, name + "@" + version)))
    missed.erase(ours.pin.name);
  if (missed.empty()) return version;
  std::vector<std::string> more;
  for (const auto& [expert, pin] : missed) more.push_back(pin);
  return grow(registry, name, more);
}

std::string changes_text(const std::vector<PinnedExpert>& before, const std::vector<PinnedExpert>& now) {
  if (before.empty()) return "";
  std::map<std::string, std::string> had;
  for (const PinnedExpert& pinned : before) had[pinned.pin.name] = pinned.pin.version;
  std::vector<std::string> added, changes, dropped;
  for (const PinnedExpert& pinned : now) {
    const auto [name, version] = pinned.pin;
    const auto old = had.extract(name);
    if (old.empty())
      added.push_back(name);
    else if (old.mapped() != version)
      changes.push_back(fmt::format("{} at {}, was {}", name, version, old.mapped()));
  }
  for (const auto& [name, version] : had) dropped.push_back(name);
  if (!added.empty()) changes.insert(changes.begin(), "added " + join(added, ", "));
  if (!dropped.empty()) changes.push_back("dropped " + join(dropped, ", "));
  return changes.empty() ? "" : fmt::format(" ({})", join(changes, "; "));
}

std::string all_in_use(const Registry& registry) {
  std::vector<std::string> pins;
  for (const std::string& name : experts_to_collect(registry)) pins.push_back(registry.load(Kind::expert, name).pin());
  if (pins.empty())
    user_error("{}: no experts are there yet: gaggle experts CONFIG trains them", registry.folder().string());
  return list_of_experts + join(pins, ",");
}

ExpertSet members_of(const Registry& registry, const std::string& collection) {
  ExpertSet members;
  if (!collection.starts_with(list_of_experts)) {
    members.keeper = registry.load(Kind::collection, collection);
    members.name = members.keeper.pin();
    for (const PinnedExpert& pinned : read_pins(members.keeper))
      members.experts.push_back(pinned_expert(registry, members.keeper, pinned));
    return members;
  }
  const std::string list = collection.substr(list_of_experts.size());
  for (const auto part : std::views::split(list, ','))
    members.experts.push_back(registry.load(Kind::expert, std::string(part.begin(), part.end())));
  members.keeper = members.experts.at(0);
  members.name = fmt::format("all-experts@{:.8}", sha256_hex(list));
  return members;
}

std::vector<std::string> experts_to_collect(const Registry& registry) {
  std::vector<std::string> names, adapted;
  for (const Version& expert : registry.list(Kind::expert))
    if (expert.current) (is_adapted(expert) ? adapted : names).push_back(expert.name);
  if (!adapted.empty())
    log::info("made by gaggle adapt, in a collection only where they are named: {}", join(adapted, ", "));
  return names;
}

}  // namespace gaggle
