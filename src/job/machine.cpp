#include "job/machine.h"

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "cluster/cores.h"
#include "kernel/dispatch.h"
#include "model/speed.h"
#include "train/recipe.h"

namespace gaggle {
nlohmann::json machine_of(const Session& session) {
  return {{"libtorch", GAGGLE_TORCH_VERSION},
          {"processor", session.device.is_cpu() ? processor_name() : gpu_name(session.device)},
          {"threads", session.threads}};
}

void check_machines_alike(const Session& session, bool strict) {
  const auto all = session.world->all_gather_text(machine_of(session).dump());
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    const std::string text =
        fmt::format("rank {} computes on another machine than rank 0 ({}): an expert's bits depend on who trains it",
                    rank, difference_text(parse_json(all[0]), parse_json(all[rank])));
    if (strict) user_error("{} (run.strict)", text);
    if (session.world->rank() == 0) log::warning("{}", text);
    return;
  }
}

double measure_together(const Session& session, at::ScalarType dtype) {
  session.world->barrier();
  return measure_gemm_flops(dtype, session.device, session.threads);
}

}  // namespace gaggle
