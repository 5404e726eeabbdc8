#include "app/expert_job.h"

#include <chrono>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "adapter/gate.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/names.h"
#include "base/table.h"
#include "cluster/stop.h"
#include "coordinator/journal.h"
#include "coordinator/queue.h"
#include "report/live.h"
#include "report/metrics.h"
#include "train/expert.h"

namespace gaggle {
namespace {

using nlohmann::json;

std::vector<NamedTensor> gate_tensors(std::span<const LoraSite> sites, const at::Tensor& gate) {
  std::vector<NamedTensor> tensors;
  const ParameterLayout layout = gate_layout(sites);
  for (const ParameterInfo& info : layout.tensors()) {
    const at::Tensor v = layout.view(gate, info).contiguous();
    tensors.push_back(from_float(info.name, info.shape,
                                 {v.const_data_ptr<float>(), static_cast<size_t>(v.numel())}, DType::f32));
  }
  return tensors;
}

// Nothing in it differs between two runs of one recipe.
std::string sidecar(const ExpertItem& item, const BaseModel& base, const json& metrics) {
  json sidecar = {
      {"task", item.task->name},
      {"base",
       {{"name", base.spec().name}, {"shapes", base.shape_digest()}, {"content", base.content_digest()}}},
      {"recipe", item.recipe.json},
      {"data", item.task->digest},
      {"metrics", metrics}};
  if (!item.parent.empty()) sidecar["parents"] = {item.parent};
  return sidecar.dump();
}

DType stored_dtype(const std::string& text) {
  return text == "bf16" ? DType::bf16 : text == "fp16" ? DType::f16 : DType::f32;
}

std::string commit(const ExpertJob& job, Registry& registry, const ExpertItem& item,
                   const ExpertResult& result) {
  const std::string about = sidecar(item, job.base, result.metrics);
  std::vector<NamedTensor> gates;
  if (result.gate.defined()) gates = gate_tensors(item.recipe.sites, result.gate);
  if (!item.parent.empty()) return registry.commit_gates(item.parent, gates, about, item.recipe.key);
  std::vector<std::string> all;
  for (const Site& site : job.base.sites()) all.push_back(site.name);
  const PeftLora lora = lora_to_peft(item.recipe.sites, result.lora, job.base.spec().name);
  return registry.commit({item.name, peft_config_json(lora, all),
                          peft_tensors(lora, stored_dtype(job.config.registry.dtype)), gates, about,
                          item.recipe.key});
}

// The live table of a job's first rank, drawn from all workers' journals twice a second.
class Display {
 public:
  Display(const std::filesystem::path& folder, const std::string& job, size_t items)
      : reader_(folder, job), live_(stdout), items_(items), thread_([this](std::stop_token s) { follow(s); }) {}
  ~Display() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
  }
  JournalReader& reader() { return reader_; }  // after stop()
  size_t finished_workers() {
    const std::lock_guard lock(mutex_);
    size_t n = 0;
    for (const WorkerStatus& w : reader_.workers()) n += w.finished;
    return n;
  }
  double longest_silence() {
    const std::lock_guard lock(mutex_);
    double silence = 0;
    for (const WorkerStatus& w : reader_.workers())
      if (!w.finished && w.rank != 0) silence = std::max(silence, w.silent_s);
    return silence;
  }

 private:
  void follow(std::stop_token stop) {
    while (!stop.stop_requested()) {
      draw();
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    draw();
  }
  void draw() {
    const std::lock_guard lock(mutex_);
    reader_.poll();
    std::vector<Progress> lines;
    for (const WorkerStatus& w : reader_.workers()) {
      const WorkerProgress& p = w.progress;
      if (w.finished || p.item.empty()) continue;
      lines.push_back({fmt::format("rank {}", w.rank), p.item, p.phase, p.step, p.steps, p.loss, p.grad_norm,
                       p.lr, p.tokens_per_s, 0, p.seconds_left});
    }
    const size_t done = reader_.events("committed").size();
    if (!lines.empty())
      live_.draw(lines, static_cast<double>(done) / static_cast<double>(std::max<size_t>(1, items_)),
                 fmt::format("{} of {} experts", done, items_));
  }
  JournalReader reader_;
  LiveView live_;
  size_t items_;
  std::mutex mutex_;
  std::jthread thread_;
};

struct Worker {
  const ExpertJob& job;
  Registry& registry;
  Communicator& group;
  Journal* journal = nullptr;  // the group's first rank
  WorkQueue* queue = nullptr;  // likewise

  ExpertResult train(const ExpertItem& item, const std::filesystem::path& folder,
                     const std::vector<std::filesystem::path>& folders) {
    LoopHooks hooks;
    std::optional<SnapshotWriter> writer;
    std::optional<MetricsLog> metrics;
    if (queue) {
      writer.emplace(folder, item.recipe.key, job.config.checkpoint.keep);
      hooks.snapshots = &*writer;
      metrics.emplace(job.session.run_dir, item.name, job.config.report.tensorboard);
      hooks.on_step = [&](const StepReport& r) {
        const double rate = static_cast<double>(r.rows) / std::max(1e-9, r.seconds);
        journal->progress({item.name, r.phase, r.step, r.steps, r.loss, r.grad_norm, r.lr, rate,
                           r.seconds * static_cast<double>(r.steps - r.step)});
        std::vector<std::pair<std::string, double>> values = {
            {"loss", r.loss}, {"grad_norm", r.grad_norm}, {"lr", r.lr}, {"seconds", r.seconds}, {"tokens_per_s", rate}};
        if (r.validation_loss) values.emplace_back("validation_loss", *r.validation_loss);
        metrics->write(r.phase, r.step, values);
        if (r.step == 1 || r.step == r.steps) metrics->flush();
      };
      hooks.stop = [] { return stop_requested(); };
    }
    hooks.checkpoint_every = job.config.checkpoint.every;
    ExpertResult result = train_expert(job.base, *item.task, item.recipe, group, hooks, folders);
    if (writer) writer->wait();
    return result;
  }

  // Takes items until there are none; returns how it was stopped, if it was.
  std::optional<Exit> work() {
    for (;;) {
      std::optional<Taken> taken;
      int64_t said[2] = {-1, 0};  // place of the item, generation
      if (queue && (taken = queue->next())) {
        for (size_t i = 0; i < job.items.size(); ++i)
          if (job.items[i].recipe.key == taken->item.key) said[0] = static_cast<int64_t>(i);
        said[1] = taken->generation;
      }
      group.broadcast(std::as_writable_bytes(std::span(said)), 0);
      if (said[0] < 0) return queue ? stop_requested() : std::nullopt;
      const ExpertItem& item = job.items[static_cast<size_t>(said[0])];
      const auto stopped = one(item, static_cast<int>(said[1]), std::move(taken));
      if (stopped) return stopped;
    }
  }

  std::optional<Exit> one(const ExpertItem& item, int generation, std::optional<Taken> taken) {
    const std::string& key = item.recipe.key;
    if (journal) journal->event("taken", item.name, key);
    try {
      const ExpertResult result = train(item, item_folder(registry.folder(), key, generation),
                                        earlier_folders(registry.folder(), key, generation));
      if (result.stopped) {
        if (taken) queue->give_back(std::move(*taken));
        return result.stopped;
      }
      if (!taken) return std::nullopt;
      if (!queue->still_mine(*taken)) {
        log::warning("{}: another worker took it over; this copy is dropped", item.name);
        return std::nullopt;
      }
      const std::string version = commit(job, registry, item, result);
      journal->event("committed", item.name, key, version);
      queue->finish(std::move(*taken));
    } catch (const NotFinite& error) {
      failed(item, std::move(taken), error.what(), true);
    } catch (const std::exception& error) {
      failed(item, std::move(taken), error.what(), false);
    }
    return std::nullopt;
  }

  void failed(const ExpertItem& item, std::optional<Taken> taken, const std::string& reason, bool final) {
    if (!taken) return;
    const bool aside = queue->fail(std::move(*taken), reason, final);
    journal->event(aside ? "aside" : "failed", item.name, item.recipe.key, reason);
    log::warning("{}: {}{}", item.name, reason,
                 aside ? "; set aside (--retry takes it up again)" : "; tried once more");
  }
};

std::string number(const json& metrics, const char* key) {
  const auto found = metrics.find(key);
  return found != metrics.end() && found->is_number() ? fmt::format("{:.3f}", found->get<double>()) : "-";
}

void print_table(const ExpertJob& job, const Registry& registry, const std::vector<JournalEvent>& events) {
  Table table({"expert", "version", "task loss", "base", "gate |v|", "trained on", "time"});
  for (const ExpertItem& item : job.items) {
    const auto info = registry.find_key(item.name, item.recipe.key);
    if (!info) continue;
    const json about = json::parse(registry.expert_json(item.name, info->version));
    const json metrics = about.value("metrics", json::object());
    std::string where = "before", time = "-";
    double taken = 0;
    for (const JournalEvent& event : events) {
      if (event.key != item.recipe.key) continue;
      if (event.kind == "taken") taken = event.seconds;
      if (event.kind == "committed") {
        where = fmt::format("rank {}", event.rank);
        time = time_text(event.seconds - taken);
      }
    }
    const bool gated = metrics.contains("gated_loss");
    table.add({item.name, info->version, number(metrics, "validation_loss"), number(metrics, "base_loss"),
               gated ? number(metrics, "gate_norm") : "-", where, time});
  }
  std::fputs(("\n" + table.text()).c_str(), stdout);
}

// Who commits the last item merges; the same pins give the version that is there.
std::string collect(const ExpertJob& job, Registry& registry) {
  if (job.config.registry.collection.empty()) return "";
  std::vector<std::string> names;
  for (const ExpertItem& item : job.items) names.push_back(item.name);
  return registry.collect(job.config.registry.collection, names);
}

Exit conclude(const ExpertJob& job, Registry& registry, WorkQueue& queue,
              const std::vector<JournalEvent>& events) {
  queue.refresh();
  const bool done = queue.all_done();
  if (done) collect(job, registry);
  if (job.session.world->rank() != 0) return queue.set_aside().empty() ? Exit::done : Exit::some_set_aside;
  print_table(job, registry, events);
  for (const PlannedItem& held : queue.held_by_others())
    log::info("{} is held by {}; start again, or set cluster.wait = true, to see the end", held.item.name,
              held.note);
  for (const PlannedItem& aside : queue.set_aside())
    log::warning("{} was set aside: {}", aside.item.name, aside.note);
  if (done && !job.config.registry.collection.empty())
    std::fputs(fmt::format("collection {}: {} experts, {}/collections/{} · next: gaggle eval {}\n",
                           job.config.registry.collection, job.items.size(), job.config.registry.path,
                           job.config.registry.collection, job.config.file)
                   .c_str(),
               stdout);
  return queue.set_aside().empty() ? Exit::done : Exit::some_set_aside;
}

}  // namespace

void look_up(std::vector<ExpertItem>& items, const std::filesystem::path& folder, const BaseFingerprint& base,
             bool accept_base) {
  if (!std::filesystem::exists(folder / "registry.json")) return;
  const Registry registry = Registry::open(folder, base, false, accept_base);
  for (ExpertItem& item : items) {
    if (const auto there = registry.find_key(item.name, item.recipe.key)) {
      item.version = there->version;
      continue;
    }
    if (!item.parent.empty()) continue;
    const auto current = registry.find(item.name);
    if (!current) continue;
    const json about = json::parse(registry.expert_json(item.name));
    item.why = fmt::format("v{:04}, {}", std::stoi(current->version.substr(1)) + 1,
                           about.contains("recipe") ? recipe_difference(about.at("recipe"), item.recipe.json)
                                                    : "the one there was imported");
  }
}

Exit run_job(const ExpertJob& job) {
  const auto& world = *job.session.world;
  Registry registry =
      Registry::open(job.config.registry.path, fingerprint_of(job.base), true, job.options.accept_base);
  for (const ExpertItem& item : job.items)
    if (!item.version.empty()) registry.make_current(item.name, item.version);
  const auto per_group = static_cast<int>(job.config.cluster.ranks_per_expert);
  if (world.size() % per_group != 0)
    user_error("cluster.ranks_per_expert = {} does not divide the {} ranks that were started", per_group,
               world.size());
  const auto group = per_group == 1 ? make_self() : job.session.world->split(world.rank() / per_group);
  const std::string job_name = job.session.world->all_gather_text(job.session.identity.worker_name())[0];
  if (group->rank() != 0) {
    Worker{job, registry, *group}.work();
    return Exit::done;
  }

  std::vector<WorkItem> work;
  for (const ExpertItem& item : job.items)
    work.push_back({item.recipe.key, item.name, item_seconds(item, job.base, job.gemm_flops)});
  QueueOptions options;
  options.folder = registry.folder();
  options.worker = job.session.identity.worker_name();
  options.lease_s = job.config.cluster.lease_s;
  options.wait = job.config.cluster.wait;
  options.retry = job.options.retry && world.rank() == 0;
  options.done = [&](const WorkItem& item) { return registry.find_key(item.name, item.key).has_value(); };
  options.stop = [] { return stop_requested().has_value(); };
  WorkQueue queue(options, work);

  size_t to_train = 0;
  for (const ExpertItem& item : job.items) to_train += item.version.empty();
  std::optional<Journal> journal(std::in_place, registry.folder(), options.worker, job_name, world.rank());
  std::optional<Display> display;
  if (world.rank() == 0) display.emplace(registry.folder(), job_name, to_train);
  const std::optional<Exit> stopped = Worker{job, registry, *group, &*journal, &queue}.work();
  journal.reset();
  std::vector<JournalEvent> events;
  if (display) {
    // The others' items are this job's too: the table waits for them, but not for one that is silent.
    const auto groups = static_cast<size_t>(world.size() / per_group);
    while (display->finished_workers() < groups && display->longest_silence() < job.config.cluster.lease_s)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    display->stop();
    events = display->reader().events();
  }
  if (stopped) {
    log::info("stopped early, everything is saved: start again to go on");
    return *stopped;
  }
  return conclude(job, registry, queue, events);
}

}  // namespace gaggle
