// A job: work items that groups of ranks take by lease, do and commit until none is left to take. Experts,
// gates, pretraining, adaptation and evaluation are jobs; what they do with an item is theirs, everything else
// is here.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/page.h"
#include "coordinator/journal.h"
#include "coordinator/plan.h"
#include "job/item_report.h"
#include "job/session.h"
#include "model/base_model.h"

namespace gaggle {

// Options that the commands of all jobs share.
struct JobOptions {
  bool dry_run = false;      // load and check everything, print the plan, start nothing
  bool accept_base = false;  // write to a registry whose base has other contents
  bool retry = false;        // take up items that were set aside
};

// What the items of every job are worked on with.
struct JobContext {
  const Config& config;
  const JobOptions& options;
  Session& session;
  BaseModel& base;
  double gemm_flops = 0;  // per second, of this rank while all ranks are busy
};

// One attempt at an item by a group of ranks. The group's first rank holds the item's lease and writes the reports.
struct Attempt {
  Communicator& group;
  std::filesystem::path folder;                // where this attempt's checkpoints go
  std::vector<std::filesystem::path> earlier;  // those of earlier attempts, newest first
  ItemReport* report = nullptr;                // null on all but the group's first rank
};

// Puts the result of an attempt in place; runs on the group's first rank, if the item is still its own then.
// Returns a word on the result for people: "v0001, validation loss 0.558 (base 6.42)", or "".
using Commit = std::function<std::string()>;

// What a job came to, as its first rank knows it.
struct JobEnd {
  const Plan& plan;                         // every item's state
  const std::vector<JournalEvent>& events;  // of this job's workers: who took and committed what, and when
};

// What an item takes, whatever the machine.
struct ItemWork {
  // Items of one kind do their FLOP at one speed: it says what is trained or scored, and in passes of how many tokens.
  std::string kind;
  double flops = 0;  // useful, expected, of all ranks of a group together
};

struct Job {
  std::string kind;              // as `gaggle status` has it: "experts", "evaluation"
  std::string thing;             // what the live view counts: "expert", "item"
  std::filesystem::path folder;  // of leases, journals and checkpoints: the registry, or a part of the run folder
  int ranks_per_item = 1;
  // Whether the ranks go on without one that was lost. A job whose one item all ranks make together ends
  // instead: a new start with all ranks is faster than going on with fewer.
  bool outlives_ranks = true;
  bool wait = false;                 // the first rank stays while other jobs hold items
  std::vector<WorkItem> items = {};  // plan_and_run fills in the cost: expected seconds of one group
  std::vector<ItemWork> work = {};   // of each item
  // Does a short piece of the item, of about so many FLOP (0: the smallest there is), and returns the FLOP per second of
  // one rank; 0: it cannot be tried. On every rank at once, before the job begins: it changes nothing and communicates
  // with nobody.
  std::function<double(size_t item, double flops)> try_out = {};
  // A word on the result that carries the item's key ("v0001"); nullopt: there is none yet.
  std::function<std::optional<std::string>(const WorkItem&)> result = {};
  // On every rank of the group. Throws StopRequested on all of them together, once everything is saved;
  // OtherMachine; NotFinite where a retry would repeat it; anything else is retried once.
  std::function<Commit(size_t item, Attempt&)> run = {};
  // Makes the version that carries the item's key the one that the registry serves. For each item that is done, before
  // any is taken and at the end: other settings' version may be served now, and a commit may have failed behind its
  // rename.
  std::function<void(const WorkItem&, const std::string& version)> serve = {};
  std::function<void()> merge = {};                      // when every item is done, by each worker that sees it
  std::function<Page(const JobEnd&)> closing_page = {};  // the first rank's last word
};

// The first item of each key: others would come to the same result.
template <class Item>
std::vector<const Item*> one_of_each_key(const std::vector<Item>& items) {
  std::set<std::string> keys;
  std::vector<const Item*> first;
  for (const Item& item : items)
    if (keys.insert(item.key).second) first.push_back(&item);
  return first;
}

// Groups of ranks that take items.
int worker_count(const Job& job, const Session& session);

// Runs the job to its end on this rank and says how it ended: done, some_set_aside, or how it was stopped.
// Collective.
Exit run_job(const JobContext& context, const Job& job);

}  // namespace gaggle
