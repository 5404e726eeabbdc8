// The verbs as NCCL's sends and receives, all of a verb at once; what goes to oneself is copied.
#include <algorithm>

#include "base/error.h"
#include "comm/nccl_link.h"

namespace gaggle {
namespace {

size_t chunk_bytes = size_t{1} << 30;

// What goes over the ranks' hosts, whatever their GPUs do.
class OverHost : public Communicator {
 public:
  OverHost(std::shared_ptr<Communicator> host, std::shared_ptr<const NcclTables> tables, NcclOptions options)
      : host_(std::move(host)), tables_(std::move(tables)), options_(std::move(options)) {}
  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  void barrier() override { host_->barrier(); }
  std::vector<std::string> all_gather_text(const std::string& mine) override { return host_->all_gather_text(mine); }
  std::string who_left() override { return host_->who_left(); }

 protected:
  std::shared_ptr<Communicator> host_;
  std::shared_ptr<const NcclTables> tables_;
  NcclOptions options_;
};

class NcclCommunicator final : public OverHost {
 public:
  NcclCommunicator(std::shared_ptr<Communicator> host, std::shared_ptr<const NcclTables> tables, NcclOptions options)
      : OverHost(host, tables, options), link_(host, tables, options) {}

  std::string backend() const override { return "nccl"; }
  Communicator* device() override { return this; }

  void broadcast(std::span<std::byte> data, int root) override {
    GAGGLE_CHECK(root >= 0 && root < size());
    std::vector<Leg> legs;
    for (int r = 0; rank() == root && r < size(); ++r)
      if (r != root) legs.push_back({r, data, {}});
    if (rank() != root) legs.push_back({root, {}, data});
    run("broadcast", legs);
  }

  // NCCL's own where one piece is enough: between hosts its ring sends everything once.
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) override {
    GAGGLE_CHECK(all.size() == mine.size() * static_cast<size_t>(size()));
    std::vector<Leg> legs;
    for (int r = 0; r < size(); ++r)
      legs.push_back({r, mine, all.subspan(static_cast<size_t>(r) * mine.size(), mine.size())});
    if (mine.size() > chunk_bytes || mine.empty()) return run("all_gather", legs);
    link_.begin("all_gather", bytes_of(legs), peers_of(legs));
    link_.group([&](const NcclCalls& nccl, NcclComm* comm, GpuStream* stream) {
      return nccl.all_gather(mine.data(), all.data(), mine.size(), comm, stream);
    });
    link_.end();
  }

  void all_to_all(std::span<const std::span<const std::byte>> send,
                  std::span<const std::span<std::byte>> receive) override {
    const auto n = static_cast<size_t>(size());
    GAGGLE_CHECK(send.size() == n && receive.size() == n);
    GAGGLE_CHECK(send[static_cast<size_t>(rank())].size() == receive[static_cast<size_t>(rank())].size());
    std::vector<Leg> legs;
    for (size_t r = 0; r < n; ++r) legs.push_back({static_cast<int>(r), send[r], receive[r]});
    run("all_to_all", legs);
  }

  std::unique_ptr<Communicator> split(int colour) override {
    return std::make_unique<NcclCommunicator>(host_->split(colour), tables_, options_);
  }

 private:
  struct Leg {
    int peer;
    std::span<const std::byte> out;
    std::span<std::byte> in;
  };

  static size_t bytes_of(const std::vector<Leg>& legs) {
    size_t bytes = 0;
    for (const Leg& leg : legs) bytes += leg.out.size() + leg.in.size();
    return bytes;
  }
  std::vector<int> peers_of(const std::vector<Leg>& legs) const {
    std::vector<int> peers;
    for (const Leg& leg : legs)
      if (leg.peer != rank() && leg.out.size() + leg.in.size() > 0) peers.push_back(leg.peer);
    return peers;
  }

  // Piece by piece: a pair's sends and receives meet in their order, so both cut alike. Pairs without data have
  // nothing to say.
  void run(const char* verb, const std::vector<Leg>& legs) {
    if (bytes_of(legs) == 0) return;
    const std::vector<int> peers = peers_of(legs);
    link_.begin(verb, bytes_of(legs), peers);
    size_t longest = 0;
    for (const Leg& leg : legs) {
      if (leg.peer == rank())
        link_.copy(leg.in.data(), leg.out.data(), leg.out.size());
      else
        longest = std::max({longest, leg.out.size(), leg.in.size()});
    }
    for (size_t at = 0; at < longest; at += chunk_bytes)
      link_.group([&](const NcclCalls& nccl, NcclComm* comm, GpuStream* stream) {
        int worst = nccl_success;
        const auto note = [&](int result) {
          if (worst == nccl_success || worst == nccl_in_progress) worst = result;
        };
        for (const Leg& leg : legs) {
          if (leg.peer == rank()) continue;
          if (at < leg.out.size())
            note(nccl.send(leg.out.data() + at, std::min(chunk_bytes, leg.out.size() - at), leg.peer, comm, stream));
          if (at < leg.in.size())
            note(nccl.receive(leg.in.data() + at, std::min(chunk_bytes, leg.in.size() - at), leg.peer, comm, stream));
        }
        return worst;
      });
    link_.end();
  }

  NcclLink link_;
};

// The host's communicator, whose ranks are connected by NCCL when somebody asks for it: ranks that work alone
// never are, and no death reaches them that way.
class HostWithDevice final : public OverHost {
 public:
  using OverHost::OverHost;
  std::string backend() const override { return host_->backend(); }
  void broadcast(std::span<std::byte> data, int root) override { host_->broadcast(data, root); }
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) override { host_->all_gather(mine, all); }
  void all_to_all(std::span<const std::span<const std::byte>> send,
                  std::span<const std::span<std::byte>> receive) override {
    host_->all_to_all(send, receive);
  }
  CollectiveRecord record_beside(const std::string& name) const override { return host_->record_beside(name); }

  std::unique_ptr<Communicator> split(int colour) override {
    auto part = host_->split(colour);
    if (part->size() == 1) return part;
    return std::make_unique<HostWithDevice>(std::move(part), tables_, options_);
  }

  Communicator* device() override {
    if (!device_) device_ = std::make_unique<NcclCommunicator>(host_, tables_, options_);
    return device_.get();
  }

 private:
  std::unique_ptr<NcclCommunicator> device_;
};

}  // namespace

std::unique_ptr<Communicator> with_device(std::unique_ptr<Communicator> host, NcclTables tables, NcclOptions options) {
  return std::make_unique<HostWithDevice>(std::move(host), std::make_shared<const NcclTables>(std::move(tables)),
                                          std::move(options));
}

void set_nccl_chunk_bytes_for_test(size_t bytes) { chunk_bytes = bytes; }

}  // namespace gaggle
