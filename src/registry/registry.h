// The registry: a folder of experts, routed adapters, rows and collections that several jobs share (routed.h
// and rows.h have their own verbs). Layout: docs/registry.md. Versions are staged, fsynced, renamed, never
// changed. No pickle, no links followed.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "formats/tensor.h"
#include "registry/kind.h"

namespace gaggle {

struct BaseFingerprint {
  std::string name;     // for people
  std::string shapes;   // digest of names and shapes: a mismatch is refused
  std::string content;  // digest of the tensors' contents: a mismatch warns, and needs --accept-base to write
};

// One expert at one site.
struct SiteLora {
  std::string site;  // module path in the base
  int64_t rank = 0;
  double scale = 1;                       // alpha/r, alpha/sqrt(r), patterns resolved
  std::vector<int64_t> shape_a, shape_b;  // [r, d_in], [d_out, r]
  std::vector<float> a, b;
  std::vector<float> gate;  // [d_in]; empty: no gate here
};

struct Expert {
  std::string name, version;  // "tomi", "v0001"
  std::filesystem::path folder;
  std::string key;  // of the work item that made it; "": imported
  std::vector<SiteLora> sites;
  bool gated() const;
};

// What is known of a version of any kind.
struct VersionInfo {
  std::string name, version, key, origin;  // origin: trained | imported
  std::string made_from;                   // parents, task or folder, for people
  bool current = false;
  bool verified = false;  // made on, or checked against, the registry's base
  uint64_t bytes = 0;
};

struct ExpertInfo : VersionInfo {
  bool gated = false;
  int64_t rank = 0;  // the largest of its sites
  int64_t sites = 0;
};

// A version that was asked for by a name of any kind.
struct Located {
  Kind kind = Kind::expert;
  std::string name;
  std::filesystem::path folder;  // of the version
};

// What is committed as a new version.
struct NewExpert {
  std::string name;
  std::string adapter_config;      // JSON text, only long-lived PEFT keys
  std::vector<NamedTensor> lora;   // PEFT keys
  std::vector<NamedTensor> gates;  // "<module path>.gate" [d_in] fp32; empty: ungated
  // A JSON object: task, base, recipe, data, parents (["tomi@v0001"]), metrics, …; nothing in it differs
  // between two runs of one recipe. The commit adds key, origin ("trained" unless it says otherwise)
  // and "lora" (rank, sites).
  std::string expert_json;
  std::string key;
};

class Registry {
 public:
  // Opens, or creates when `create`. Throws UserError: not a registry, newer format, another base's shapes.
  static Registry open(const std::filesystem::path& folder, const std::optional<BaseFingerprint>& base,
                       bool create, bool accept_base = false);

  const std::filesystem::path& folder() const { return folder_; }
  BaseFingerprint base() const;          // content "": nobody with the base's weights has written yet
  std::vector<ExpertInfo> list() const;  // every version, in order of name and version
  std::optional<ExpertInfo> find(const std::string& name) const;  // the CURRENT version, or name@version
  std::optional<ExpertInfo> find_key(const std::string& name, const std::string& key) const;  // any version
  Expert load(const std::string& name, const std::string& version = "") const;                // "": CURRENT
  // expert.json of a version, parsed text.
  std::string expert_json(const std::string& name, const std::string& version = "") const;

  // A version's folder; throws UserError naming the nearest name if it is not there.
  std::filesystem::path folder_of(const std::string& name, const std::string& version = "",
                                  Kind kind = Kind::expert) const;
  // "copy", "copy@v0001" or, where several kinds have that name, "experts/copy". Throws UserError: not there
  // among these kinds, or ambiguous.
  Located locate(const std::string& text, const std::vector<Kind>& among) const;
  // CURRENT := version, for an item whose result is there already (its recipe is the configured one once more).
  void make_current(const std::string& name, const std::string& version, Kind kind = Kind::expert);

  // Stages, fsyncs, renames to the next version, moves CURRENT; returns the version. The same key committed by
  // somebody else in between: compares tensor digests, drops the copy, returns theirs. Without a key
  // (imported): an equal version that is there already is returned.
  std::string commit(const NewExpert& expert);
  // The same LoRA with gates: a new version of `name` (or of name@version) that hard-links the LoRA's files.
  std::string commit_gates(const std::string& name, const std::vector<NamedTensor>& gates,
                           const std::string& expert_json, const std::string& key);

  // Pins the given experts (name or name@version; empty: all CURRENT) as collection `name`; returns its
  // version, the one that is there if it pins the same.
  std::string collect(const std::string& name, const std::vector<std::string>& experts);
  std::vector<Expert> load_collection(
      const std::string& name) const;                            // name or name@version, in the pinned order
  std::vector<std::string> pins(const std::string& name) const;  // its experts as name@version
  std::vector<std::string> collections() const;

  // Reads everything: sums, CURRENT, tensors against their config, pins. Returns complaints, none when sound.
  std::vector<std::string> verify() const;
  // What locate() finds, all versions of it; refused while a collection pins the expert or a row names the
  // routed adapter as its parent.
  void remove(const std::string& name);

 private:
  std::filesystem::path folder_;
};

}  // namespace gaggle
