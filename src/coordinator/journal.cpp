#include "coordinator/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/names.h"

namespace gaggle {
namespace {

fs::path journal_folder(const fs::path& folder) {
  return folder / "work" / "journal";
}

// JSON has no NaN: it is written as null.
double number(const nlohmann::json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number() ? found->get<double>() : std::nan("");
}

}  // namespace

struct Journal::Impl {
  fs::path path;
  int fd = -1;
  std::string worker, job;
  int rank = 0;
  double started = monotonic_seconds();
  bool warned = false;

  void write(nlohmann::ordered_json line) {
    line["worker"] = worker;
    line["rank"] = rank;
    line["seconds"] = monotonic_seconds() - started;
    const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    // A report that cannot be written must not end the work it is about.
    if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) && !warned) {
      log::warning("{}: cannot be written; this worker's progress is not shown", path.string());
      warned = true;
    }
  }
};

Journal::Journal(const fs::path& folder, const std::string& worker, const std::string& job, int rank,
                 const std::string& items)
    : impl_(std::make_unique<Impl>()) {
  check_name(worker, "worker");
  std::error_code failed;
  fs::create_directories(journal_folder(folder), failed);
  impl_->path = journal_folder(folder) / (worker + ".jsonl");
  impl_->fd = ::open(impl_->path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (impl_->fd < 0) system_error("{}: cannot be opened for writing", impl_->path.string());
  impl_->worker = worker;
  impl_->rank = rank;
  const ProcessId& me = this_process();
  impl_->write({{"kind", "started"},
                {"job", job},
                {"items", items},
                {"host", me.host},
                {"kernel", me.kernel},
                {"pid", me.pid},
                {"start", me.start_ticks},
                {"utc", utc_now()}});
}

Journal::~Journal() {
  impl_->write({{"kind", "finished"}});
  ::close(impl_->fd);
}

void Journal::progress(const WorkerProgress& p) {
  impl_->write({{"kind", "progress"},
                {"item", p.item},
                {"phase", p.phase},
                {"step", p.step},
                {"steps", p.steps},
                {"loss", p.loss},
                {"grad_norm", p.grad_norm},
                {"lr", p.lr},
                {"tokens_per_s", p.tokens_per_s},
                {"seconds_left", p.seconds_left},
                {"gemm_share", p.gemm_share},
                {"share", p.share}});
}

void Journal::event(const std::string& kind, const std::string& item, const std::string& key,
                    const std::string& detail) {
  impl_->write({{"kind", kind}, {"item", item}, {"key", key}, {"detail", detail}, {"utc", utc_now()}});
}

struct JournalReader::Impl {
  fs::path folder;
  std::string job;
  struct File {
    std::streamoff read = 0;  // bytes consumed: whole lines
    bool of_job = false;      // the last "started" was of our job
    double heard = 0;
    WorkerStatus status;
  };
  std::map<fs::path, File> files;
  std::vector<JournalEvent> events;

  void take(File& file, const nlohmann::json& line) {
    const std::string kind = line.value("kind", "");
    WorkerStatus& status = file.status;
    if (kind == "started") {
      file.of_job = job.empty() || line.value("job", "") == job;
      status = {};
      status.job = line.value("job", "");
      status.items = line.value("items", "");
      status.process = {line.value("host", ""), line.value("kernel", ""), line.value("pid", int64_t{0}),
                        line.value("start", uint64_t{0})};
    }
    if (!file.of_job) return;
    file.heard = monotonic_seconds();
    ++status.lines;
    status.seconds = number(line, "seconds");
    status.worker = line.value("worker", "");
    status.rank = line.value("rank", 0);
    status.finished = kind == "finished";
    if (kind == "progress") {
      status.progress = {line.value("item", ""),
                         line.value("phase", ""),
                         line.value("step", int64_t{0}),
                         line.value("steps", int64_t{0}),
                         number(line, "loss"),
                         number(line, "grad_norm"),
                         number(line, "lr"),
                         number(line, "tokens_per_s"),
                         number(line, "seconds_left"),
                         line.value("gemm_share", 0.0),
                         line.value("share", 0.0)};
      return;
    }
    if (kind == "taken") {
      status.key = line.value("key", "");
      status.taken_at = status.seconds;
      status.progress = {};
      status.progress.item = line.value("item", "");
    } else if (line.value("key", "") == status.key) {
      status.key.clear();
    }
    events.push_back({status.worker, kind, status.rank, line.value("item", ""), line.value("key", ""),
                      line.value("detail", ""), number(line, "seconds"), line.value("utc", "")});
  }

  void read(const fs::path& path, File& file) {
    std::ifstream stream(path, std::ios::binary);
    stream.seekg(file.read);
    for (std::string text; std::getline(stream, text) && !stream.eof();) {
      file.read += static_cast<std::streamoff>(text.size()) + 1;
      const auto line = nlohmann::json::parse(text, nullptr, false);
      if (line.is_object()) try {
          take(file, line);
        } catch (const nlohmann::json::exception&) {
          // A line of another program's making: not ours to judge, and nothing depends on it.
        }
    }
  }
};

JournalReader::JournalReader(fs::path folder, std::string job) : impl_(std::make_unique<Impl>()) {
  impl_->folder = journal_folder(folder);
  impl_->job = std::move(job);
}
JournalReader::~JournalReader() = default;

void JournalReader::poll() {
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(impl_->folder, missing))
    if (entry.path().extension() == ".jsonl" && !entry.is_symlink())
      impl_->read(entry.path(), impl_->files[entry.path()]);
}

std::vector<WorkerStatus> JournalReader::workers() const {
  std::vector<WorkerStatus> workers;
  for (const auto& [path, file] : impl_->files) {
    if (!file.of_job) continue;
    workers.push_back(file.status);
    workers.back().silent_s = monotonic_seconds() - file.heard;
  }
  std::sort(workers.begin(), workers.end(), [](const auto& left, const auto& right) {
    return std::tie(left.rank, left.worker) < std::tie(right.rank, right.worker);
  });
  return workers;
}

const std::vector<JournalEvent>& JournalReader::events() const {
  return impl_->events;
}

std::vector<JournalEvent> JournalReader::events(const std::string& kind) const {
  std::vector<JournalEvent> chosen;
  std::copy_if(impl_->events.begin(), impl_->events.end(), std::back_inserter(chosen),
               [&](const JournalEvent& event) { return event.kind == kind; });
  return chosen;
}

}  // namespace gaggle
