// The verbs over MPI. Every pair of ranks talks directly, so that a rank that never came is known by number.
#include <algorithm>
#include <numeric>

#include "comm/mpi_job.h"
#include "comm/mpi_transfer.h"
#include "comm/mpi_world.h"
#include "comm/pairwise.h"
#include "comm/patience.h"

namespace gaggle::mpi {
namespace {

class MpiCommunicator final : public PairwiseCommunicator {
 public:
  MpiCommunicator(MPI_Comm comm, CollectiveRecord record, bool owned)
      : comm_(comm), owned_(owned), record_(std::move(record)) {
    check(MPI_Comm_rank(comm, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(comm, &size_), "MPI_Comm_size");
    MPI_Group group, world;
    check(MPI_Comm_group(comm, &group), "MPI_Comm_group");
    check(MPI_Comm_group(MPI_COMM_WORLD, &world), "MPI_Comm_group");
    everybody_.resize(static_cast<size_t>(size_));
    std::iota(everybody_.begin(), everybody_.end(), 0);
    world_ranks_.resize(everybody_.size());
    check(MPI_Group_translate_ranks(group, size_, everybody_.data(), world, world_ranks_.data()),
          "MPI_Group_translate_ranks");
    MPI_Group_free(&group);
    MPI_Group_free(&world);
  }
  ~MpiCommunicator() override {
    int finished = 0;
    MPI_Finalized(&finished);
    if (owned_ && !finished && lost_ranks().empty()) MPI_Comm_free(&comm_);  // it would wait for the dead
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string backend() const override { return "mpi"; }

  // MPI has no non-blocking split: all ranks are brought to the door first, so that the call is short.
  std::unique_ptr<Communicator> split(int colour) override {
    GAGGLE_CHECK(colour >= 0);
    barrier();
    MPI_Comm part = MPI_COMM_NULL;
    check(MPI_Comm_split(comm_, colour, rank_, &part), "MPI_Comm_split");
    check(MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    return std::make_unique<MpiCommunicator>(part, record_.of_part(colour), true);
  }

  CollectiveRecord record_beside(const std::string& name) const override { return record_.beside(name); }
  std::string who_left() override { return gone_among(goodbyes(), lost_ranks(), everybody_); }

 private:
  // The tag carries the collective's number: ranks that are at different ones never mix their data.
  void exchange(const char* verb, size_t bytes, std::span<const std::span<const std::byte>> send,
                std::span<const std::span<std::byte>> receive) override {
    const uint64_t number = record_.begin(verb, bytes);
    Transfer transfer(comm_, static_cast<int>(number % 32767));
    for (int r = 0; r < size_; ++r)
      if (r != rank_) transfer.receive(receive[static_cast<size_t>(r)], r);
    for (int r = 0; r < size_; ++r)
      if (r != rank_) transfer.send(send[static_cast<size_t>(r)], r);
    const auto me = static_cast<size_t>(rank_);
    std::ranges::copy(send[me], receive[me].begin());
    // For as long as it takes: the watchdog has the deadline.
    Patience patience;
    while (!through(transfer)) {
      patience.wait();
      throw_if_left(transfer);
    }
    record_.end();
  }

  bool through(Transfer& transfer) {
    try {
      return transfer.test();
    } catch (const SystemError&) {
      system_error_because("{}", record_.last_text());
    }
  }

  // A rank that has left will never send what we wait for. Where one was lost all others give up as well: they
  // would wait for each other.
  void throw_if_left(Transfer& transfer) {
    const auto left = goodbyes();
    const auto lost = lost_ranks();
    if ((left.empty() && lost.empty()) || through(transfer)) return;  // its last messages may have come just before
    const std::string gone = gone_among({}, lost, everybody_);
    const std::string who = gone.empty() ? gone_among(left, {}, transfer.missing()) : gone;
    if (who.empty()) return;
    const std::string what = record_.last_text();
    record_.end();
    system_error("{} was given up: {}", what, who);
  }

  std::string gone_among(const std::map<int, Goodbye>& left, const std::vector<int>& lost,
                         const std::vector<int>& peers) const {
    for (const int peer : peers) {
      const int rank = world_ranks_[static_cast<size_t>(peer)];
      if (std::ranges::find(lost, rank) != lost.end()) return fmt::format("rank {} was lost", rank);
      const auto found = left.find(rank);
      if (found == left.end()) continue;
      const std::string& why = found->second.message;
      return fmt::format("rank {} has left{}", rank, why.empty() ? "" : ": " + why);
    }
    return "";
  }

  MPI_Comm comm_;
  bool owned_;
  int rank_ = 0, size_ = 1;
  std::vector<int> everybody_, world_ranks_;  // [size] by their numbers here, and in the world
  CollectiveRecord record_;
};

}  // namespace
}  // namespace gaggle::mpi

std::unique_ptr<gaggle::Communicator> gaggle::make_mpi_world(Deadlines deadlines) {
  const mpi::Started world = mpi::start(deadlines);
  return std::make_unique<mpi::MpiCommunicator>(world.comm, CollectiveRecord(world.record), false);
}
