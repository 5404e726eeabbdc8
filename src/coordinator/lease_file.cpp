#include "coordinator/lease_file.h"

#include <fmt/format.h>

#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/json.h"

namespace gaggle {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::string holder_text(const LeaseRecord& record) {
  return fmt::format("{} on {}{}", record.worker, record.process.host,
                     record.job.empty() ? "" : " (job " + record.job + ")");
}

std::string first_line(uint64_t counter, bool released) {
  return fmt::format("{:020} {}\n", counter, released ? "released" : "held    ");
}

std::string lease_bytes(const LeaseRecord& record) {
  const nlohmann::ordered_json json = {{"nonce", record.nonce},       {"worker", record.worker},
                                       {"host", record.process.host}, {"kernel", record.process.kernel},
                                       {"pid", record.process.pid},   {"start", record.process.start_ticks},
                                       {"job", record.job},           {"restarts", record.restarts}};
  return first_line(record.counter, record.released) + json.dump() + "\n";
}

std::optional<LeaseRecord> parse_lease(const std::string& bytes) {
  LeaseRecord record;
  std::istringstream lines(bytes);
  std::string state, rest;
  if (bytes.empty() || bytes.back() != '\n' || !(lines >> record.counter >> state)) return std::nullopt;
  record.released = state == "released";
  lines.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  std::getline(lines, rest);
  try {
    const auto json = parse_json(rest);
    record.nonce = json.at("nonce");
    record.worker = json.at("worker");
    record.process = {json.at("host"), json.at("kernel"), json.at("pid"), json.at("start")};
    record.job = json.at("job");
    record.restarts = json.at("restarts");
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
  return record;
}

LeaseRecord own_record() {
  LeaseRecord self;
  self.process = this_process();
  self.job = environment("SLURM_JOB_ID");
  if (!self.job.empty())
    self.restarts = std::atoi(environment("SLURM_RESTART_COUNT").c_str());
  else
    self.job = environment("PMIX_NAMESPACE");
  return self;
}

bool certainly_dead(const LeaseRecord& holder, const LeaseRecord& self) {
  if (life_of(holder.process) == Life::gone) return true;
  return !self.job.empty() && holder.job == self.job && holder.restarts < self.restarts;
}

}  // namespace gaggle
