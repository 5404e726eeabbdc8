#include "job/start.h"

#include "base/file.h"
#include "job/machine.h"

namespace gaggle {

StartedJob start_job(const Config& config, const JobOptions& options, Inputs inputs, BaseUse use,
                     const std::function<void(const Session&)>& check, int64_t together) {
  const Purpose purpose = options.dry_run ? Purpose::look : Purpose::work;
  StartedJob job{std::move(inputs), start_session(config, purpose), nullptr, 0, std::nullopt};
  check_writable(job.session.run_dir, "run.dir");
  check(job.session);
  if (!options.dry_run) job.stopped = stopped_before_start(job.session, config);
  if (job.stopped) return job;
  job.base = load_base(config, job.inputs, job.session, use, together);
  check_machines_alike(job.session, config.run.strict);
  job.gemm_flops = measure_together(job.session, job.base->dtype());
  return job;
}

Registry open_registry(const JobContext& context, bool create) {
  return Registry::open(context.config.registry.path, fingerprint_of(context.base), create,
                        context.options.accept_base);
}

std::optional<Registry> existing_registry(const JobContext& context) {
  if (!fs::exists(fs::path(context.config.registry.path) / "registry.json")) return std::nullopt;
  return open_registry(context, /*create=*/false);
}

std::optional<std::string> stored_version(const std::optional<Registry>& registry, Kind kind, const std::string& name,
                                          const std::string& key) {
  const auto stored = registry ? registry->find_key(kind, name, key) : std::nullopt;
  return stored ? std::optional(stored->version) : std::nullopt;
}

}  // namespace gaggle
