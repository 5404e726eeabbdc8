// Routed adapters (Poly, MHR, shared, private; of LoRA or (IA)³) in a registry: routed/NAME/vNNNN/ with
// adapter_config.json, adapter_model.safetensors (a PEFT folder where PEFT has the form) and routed.json.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "formats/peft_ia3.h"
#include "formats/peft_poly.h"
#include "registry/registry.h"

namespace gaggle {

// What is committed as a new version.
struct NewRouted {
  std::string name;
  std::string adapter_config;        // JSON text, only long-lived PEFT keys
  std::vector<NamedTensor> tensors;  // of adapter_model.safetensors; with PEFT's Poly keys, or of another form
  // A JSON object: method ("poly", "mhr", …), tasks (names in the order of the routing rows), base, recipe,
  // data, metrics, …; nothing in it differs between two runs of one recipe. The commit adds key, origin
  // ("trained" unless it says otherwise) and, for tensors with Poly keys,
  // "poly" (rank, sites, tasks, skills, heads).
  std::string routed_json;
  std::string key;
};

struct StoredRouted {
  std::string name, version;
  std::filesystem::path folder;
  std::string key;     // of the work item that made it; "": imported
  std::string digest;  // SHA-256 of its SHA256SUMS: what a row names its parent by
  std::vector<std::string> tasks;
  std::string json;  // routed.json
  PeftPoly poly;     // of low-rank skills; else without sites
  PeftIa3 ia3;       // of (IA)³'s vectors; else without sites
};

struct RoutedInfo : VersionInfo {
  std::string method;
  int64_t tasks = 0;
  int64_t rank = 0, sites = 0, skills = 0, heads = 0;  // 0: another form
};

// Stages, fsyncs, renames to the next version, moves CURRENT; returns the version. The same key, or without one
// (imported) an equal version, that is there already: returns that.
std::string commit_routed(const Registry& registry, const NewRouted& routed);

std::vector<RoutedInfo> list_routed(const Registry& registry);  // every version, in order of name and version
std::optional<RoutedInfo> find_routed(const Registry& registry,
                                      const std::string& name);  // name or name@version
std::optional<RoutedInfo> find_routed_key(const Registry& registry, const std::string& name,
                                          const std::string& key);  // any version
// "": CURRENT. Throws UserError: not there, files that do not fit each other.
StoredRouted load_routed(const Registry& registry, const std::string& name, const std::string& version = "");

}  // namespace gaggle
