#include "coordinator/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/names.h"

namespace gaggle {
namespace {

fs::path journal_folder(const fs::path& folder) { return folder / "work" / "journal"; }

// JSON has no NaN: it is written as null.
double number(const nlohmann::json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number() ? found->get<double>() : std::nan("");
}

}  // namespace

Journal::Journal(const fs::path& folder, const std::string& worker, const std::string& job, int rank,
                 const std::string& items)
    : path_(journal_folder(folder) / (worker + ".jsonl")), worker_(worker), rank_(rank), started_(monotonic_seconds()) {
  check_name(worker, "worker");
  std::error_code failed;
  fs::create_directories(journal_folder(folder), failed);
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd_ < 0) system_error("{}: cannot be opened for writing", path_.string());
  const ProcessId& me = this_process();
  write({{"kind", "started"},
         {"job", job},
         {"items", items},
         {"host", me.host},
         {"kernel", me.kernel},
         {"pid", me.pid},
         {"start", me.start_ticks},
         {"utc", utc_now()}});
}

Journal::~Journal() {
  write({{"kind", "finished"}});
  ::close(fd_);
}

void Journal::write(nlohmann::ordered_json line) {
  line["worker"] = worker_;
  line["rank"] = rank_;
  line["seconds"] = monotonic_seconds() - started_;
  const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  // A report that cannot be written must not end the work it is about.
  if (::write(fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size()) && !warned_) {
    log::warning("{}: cannot be written; this worker's progress is not shown", path_.string());
    warned_ = true;
  }
}

void Journal::progress(const WorkerProgress& p) {
  write({{"kind", "progress"},
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
  write({{"kind", kind}, {"item", item}, {"key", key}, {"detail", detail}, {"utc", utc_now()}});
}

JournalReader::JournalReader(const fs::path& folder, std::string job)
    : folder_(journal_folder(folder)), job_(std::move(job)) {}

void JournalReader::take(File& file, const nlohmann::json& line) {
  const std::string kind = line.value("kind", "");
  WorkerStatus& status = file.status;
  if (kind == "started") {
    file.of_job = job_.empty() || line.value("job", "") == job_;
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
  events_.push_back({status.worker, kind, status.rank, line.value("item", ""), line.value("key", ""),
                     line.value("detail", ""), number(line, "seconds"), line.value("utc", "")});
}

void JournalReader::read(const fs::path& path, File& file) {
  std::string text;
  try {
    text = read_file(path, file.read);
  } catch (const std::exception&) {
    return;  // gone, a pipe of that name, or a disk that fails: nothing depends on a journal, and the next look may read it
  }
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) try {
      take(file, parse_json(std::string_view(text).substr(begin, end - begin)));
    } catch (const nlohmann::json::exception&) {
      // A line of another program's making: not ours to judge, and nothing depends on it.
    }
  file.read += begin;
}

void JournalReader::poll() {
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder_, missing))
    if (entry.path().extension() == ".jsonl" && !entry.is_symlink()) read(entry.path(), files_[entry.path()]);
}

std::vector<WorkerStatus> JournalReader::workers() const {
  std::vector<WorkerStatus> workers;
  for (const auto& [path, file] : files_) {
    if (!file.of_job) continue;
    workers.push_back(file.status);
    workers.back().silent_s = monotonic_seconds() - file.heard;
  }
  std::ranges::sort(workers, {}, [](const auto& worker) { return std::tie(worker.rank, worker.worker); });
  return workers;
}

}  // namespace gaggle
