#include "registry/sidecar.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "registry/layout.h"

namespace gaggle {
namespace {

using nlohmann::json;

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string made_from(const json& sidecar) {
  const auto parents = sidecar.find("parents");
  if (parents != sidecar.end() && parents->is_array() && !parents->empty()) {
    std::vector<std::string> names;
    for (const json& parent : *parents)
      if (parent.is_string()) names.push_back(parent.get<std::string>());
    return join(names, ", ");
  }
  const std::string source = text_at(sidecar, "source");
  return source.empty() ? text_at(sidecar, "task") : source;
}

}  // namespace

std::string complete_sidecar(const NewExpert& expert, int64_t rank, int64_t sites, bool gated) {
  nlohmann::ordered_json given = expert.expert_json.empty() ? nlohmann::ordered_json::object()
                                                            : nlohmann::ordered_json::parse(expert.expert_json);
  GAGGLE_CHECK(given.is_object(), "expert.json of {} is no object", expert.name);
  nlohmann::ordered_json sidecar = {
      {"format", 1}, {"name", expert.name}, {"key", expert.key}, {"origin", "trained"}};
  for (const auto& [key, value] : given.items()) sidecar[key] = value;
  sidecar["name"] = expert.name;
  sidecar["key"] = expert.key;
  sidecar["lora"] = {{"rank", rank}, {"sites", sites}};
  sidecar["gated"] = gated;
  return sidecar.dump(2) + "\n";
}

json read_sidecar(const fs::path& version_folder) {
  const fs::path file = version_folder / sidecar_file;
  without_links(version_folder, file);
  try {
    json sidecar = json::parse(read_file(file));
    if (!sidecar.is_object()) user_error("{}: expected a JSON object", file.string());
    return sidecar;
  } catch (const json::exception& error) {
    user_error("{}: not JSON ({})", file.string(), error.what());
  }
}

std::string key_of(const fs::path& version_folder) {
  try {
    return text_at(read_sidecar(version_folder), "key");
  } catch (const UserError&) {
    return "";
  }
}

ExpertInfo describe(const std::string& name, const fs::path& version_folder, const BaseFingerprint& base) {
  const json sidecar = read_sidecar(version_folder);
  ExpertInfo info;
  info.name = name;
  info.version = version_folder.filename();
  info.key = text_at(sidecar, "key");
  info.origin = text_at(sidecar, "origin");
  info.made_from = made_from(sidecar);
  info.gated = fs::is_regular_file(version_folder / gate_file);
  const json lora = sidecar.value("lora", json::object());
  if (lora.is_object()) {
    const auto number = [&](const char* key) {
      const auto found = lora.find(key);
      return found != lora.end() && found->is_number_integer() ? found->get<int64_t>() : int64_t{0};
    };
    info.rank = number("rank");
    info.sites = number("sites");
  }
  const json of_base = sidecar.value("base", json());
  info.verified = of_base.is_object() && text_at(of_base, "shapes") == base.shapes;
  for (const auto& entry : fs::directory_iterator(version_folder))
    if (entry.is_regular_file() && !entry.is_symlink()) info.bytes += entry.file_size();
  return info;
}

}  // namespace gaggle
