// What a run reads: base model, tokenizer, tasks as tokens. Checked whole before anything is written.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/shots.h"
#include "data/tokens.h"
#include "formats/checkpoint.h"
#include "job/session.h"
#include "model/base_model.h"
#include "registry/registry.h"
#include "text/tokenizer.h"

namespace gaggle {

struct Inputs {
  std::unique_ptr<ModelCheckpoint> checkpoint;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<TokenTask> tasks;  // in name order
};

// registry.cache; "": there is none.
std::string cache_folder(const Config& config);
// The model and its tokenizer, without tasks.
Inputs open_inputs(const Config& config);
// Tasks of `paths` (data.tasks or eval.tasks) under [data]'s rules.
Inputs load_inputs(const Config& config, const std::vector<std::string>& paths, int64_t limit_examples,
                   const ShotOptions& shots = {});
// As `gaggle eval` sees them: eval.tasks, eval.limit_examples, and the examples of `split` behind their shots.
Inputs load_scored_inputs(const Config& config, Split split);
TokenTask load_one_task(const Config& config, const Inputs& inputs, const std::string& path);
// By expert: a task of its name, or the one that gate.tasks names.
std::map<std::string, TokenTask> tasks_of_experts(const Config& config, const Inputs& inputs);
// The task under [data]'s rules for this model; `heed` is called with each example.
TokenTask tokenized(const Config& config, const Inputs& inputs, const Task& task,
                    const std::function<void()>& heed = {});
// On the session's device, with model.shard in parts. `together`: neighbouring ranks that do everything together; 0: all.
// Throws UserError, before anything is read, for what does not fit into its share of the memory, and where the ranks that
// share a base would go ways of their own. Collective.
std::unique_ptr<BaseModel> load_base(const Config& config, const Inputs& inputs, const Session& session, BaseUse use,
                                     int64_t together = 1);
BaseFingerprint fingerprint_of(const BaseModel& base);

}  // namespace gaggle
