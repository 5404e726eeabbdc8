// How every job begins: its inputs are read and checked whole, the ranks meet, the base is loaded, the machine measured;
// nothing is written.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "job/inputs.h"
#include "job/job.h"
#include "job/session.h"

namespace gaggle {

struct StartedJob {
  Inputs inputs;
  Session session;
  std::unique_ptr<BaseModel> base;
  double gemm_flops = 0;        // per second, of this rank while all ranks are busy
  std::optional<Exit> stopped;  // a stop was asked for already: there is no base, and nothing is to be done
};

// `check`: the job's own look at what can be known before the base is read. `together`: ranks that make an item
// together; 0: all. Collective. Throws UserError.
StartedJob start_job(const Config& config, const JobOptions& options, Inputs inputs, BaseUse use,
                     const std::function<void(const Session&)>& check, int64_t together);

// registry.path for the context's base and --accept-base; made where it is not there yet if `create`.
Registry open_registry(const JobContext& context, bool create);
// The same to look at, if it is there.
std::optional<Registry> existing_registry(const JobContext& context);
// The version of that name that carries the key, "v0001"; nullopt: there is none, or no registry yet.
std::optional<std::string> stored_version(const std::optional<Registry>& registry, Kind kind, const std::string& name,
                                          const std::string& key);

}  // namespace gaggle
