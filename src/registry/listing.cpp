#include "registry/listing.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "base/table.h"
#include "registry/pins.h"
#include "registry/selection.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

using nlohmann::json;

std::string number(int64_t value) { return value > 0 ? with_commas(value) : "-"; }

std::string version_cell(const Version& version) { return version.version + (version.current ? "" : " (old)"); }

// Whether it was made on, or checked against, the registry's base.
std::string base_cell(const json& sidecar, const BaseFingerprint& base) {
  return text_at(object_at(sidecar, "base"), "shapes") == base.shapes ? "verified" : "unverified";
}

// Parents, or the folder that it was imported from, or its task.
std::string made_from(const json& sidecar) {
  const auto parents = sidecar.find("parents");
  if (parents != sidecar.end() && parents->is_array() && !parents->empty()) {
    std::vector<std::string> names;
    for (const auto& parent : *parents)
      if (parent.is_string()) names.push_back(parent.get<std::string>());
    return join(names, ", ");
  }
  const std::string source = text_at(sidecar, "source");
  return source.empty() ? text_at(sidecar, "task") : source;
}

std::vector<Cell> expert_cells(const Version& expert, const json& sidecar, const BaseFingerprint& base) {
  const json lora = object_at(sidecar, "lora");
  return {expert.name,
          version_cell(expert),
          number(number_at(lora, "rank")),
          number(number_at(lora, "sites")),
          flag_cell(is_gated(expert)),
          text_at(sidecar, "origin"),
          base_cell(sidecar, base),
          bytes_cell(bytes_of(expert)),
          made_from(sidecar)};
}

std::vector<Cell> inventory_cells(const Version& inventory, const json& sidecar, const BaseFingerprint& base) {
  const json poly = object_at(sidecar, "poly");
  return {inventory.name,
          version_cell(inventory),
          text_at(sidecar, "method"),
          number(static_cast<int64_t>(sidecar.value("tasks", json::array()).size())),
          number(number_at(poly, "skills")),
          number(number_at(poly, "heads")),
          number(number_at(poly, "rank")),
          number(number_at(poly, "sites")),
          text_at(sidecar, "origin"),
          base_cell(sidecar, base),
          bytes_cell(bytes_of(inventory)),
          made_from(sidecar)};
}

std::vector<Cell> row_cells(const Version& row, const json& sidecar, const BaseFingerprint&) {
  return {row.name, version_cell(row), text_at(sidecar, "task"), text_at(sidecar, "parent"), bytes_cell(bytes_of(row))};
}

// One that cannot be read is marked, and its reason added to `broken`; the others are listed all the same.
template <class Cells>
Page table_of(const Registry& registry, const std::vector<std::string>& wanted, Kind kind,
              const std::vector<std::string>& heads, const Cells& cells, std::string& broken) {
  const std::vector<Version> versions = selected(registry, kind, wanted);
  if (versions.empty()) return {};
  const BaseFingerprint base = registry.base();
  Table table(heads);
  for (const Version& version : versions) {
    std::vector<Cell> line(heads.size(), "");
    try {
      line = cells(version, read_sidecar(version), base);
    } catch (const UserError& error) {
      line[0] = version.name, line[1] = version_cell(version) + " broken";
      broken += fmt::format("broken: {}\n", error_text(error));
    }
    table.add(std::move(line));
  }
  return table;
}

std::string collection_lines(const Registry& registry, const std::vector<std::string>& wanted, std::string& broken) {
  std::string lines;
  for (const Version& collection : selected(registry, Kind::collection, wanted)) {
    if (!collection.current) continue;
    std::string words = "broken";
    try {
      words = plural(static_cast<int64_t>(read_pins(collection).size()), "expert");
    } catch (const UserError& error) {
      broken += fmt::format("broken: {}\n", error_text(error));
    }
    lines += fmt::format("collection {}: {}\n", collection.name, words);
  }
  return lines;
}

}  // namespace

uint64_t bytes_of(const Version& version) {
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(version.folder))
    if (entry.is_regular_file() && !entry.is_symlink()) bytes += entry.file_size();
  return bytes;
}

Page listing_page(const Registry& registry, const std::vector<std::string>& wanted) {
  check_selection(registry, wanted);
  std::string broken;
  Page page;
  page += table_of(registry, wanted, Kind::expert,
                   {"expert", "version", "rank", "sites", "gated", "origin", "base", "size", "made from"}, expert_cells,
                   broken);
  page += table_of(registry, wanted, Kind::inventory,
                   {"inventory", "version", "method", "tasks", "skills", "heads", "rank", "sites", "origin", "base",
                    "size", "made from"},
                   inventory_cells, broken);
  page += table_of(registry, wanted, Kind::routing_row, {"routing row", "version", "task", "parent", "size"}, row_cells,
                   broken);
  if (const std::string lines = collection_lines(registry, wanted, broken); !lines.empty()) page += lines;
  if (!broken.empty())
    page += broken + "gaggle registry verify says all that is wrong, gaggle registry rm NAME removes what is broken\n";
  return page.empty() ? Page("nothing in it yet\n") : page;
}

std::string soundness_block(const Registry& registry, const std::vector<std::string>& complaints,
                            const std::string& where, const std::vector<std::string>& wanted) {
  if (!complaints.empty())
    return fmt::format("{}\n{}: {}\n", join(complaints, "\n"), where,
                       plural(static_cast<int64_t>(complaints.size()), "complaint"));
  size_t versions = 0;
  for (const Kind kind : {Kind::expert, Kind::inventory, Kind::routing_row})
    versions += selected(registry, kind, wanted).size();
  return fmt::format("{}: sound, {}\n", where, plural(static_cast<int64_t>(versions), "version"));
}

Page sidecar_page(const Version& version) {
  Table table({"key", "value"});
  // Nested objects flattened ("metrics.loss"), so that one glance down the column finds a value.
  const json flat = read_sidecar(version).flatten();
  for (const auto& [path, value] : flat.items()) {
    if (path.empty()) continue;  // all that an empty object is flattened to
    std::string key = path.substr(1);
    std::ranges::replace(key, '/', '.');
    table.add({key, value.is_string() ? value.get<std::string>() : value.dump()});
  }
  return Page(version.folder.string() + "\n") + std::move(table);
}

}  // namespace gaggle
