// A world of one: every verb is a copy, so that callers need no `if (size > 1)`.
#include <algorithm>

#include "comm/pairwise.h"

namespace gaggle {
namespace {

class SelfCommunicator final : public PairwiseCommunicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string backend() const override { return "self"; }
  std::unique_ptr<Communicator> split(int) override { return make_self(); }

 private:
  void exchange(const char*, size_t, std::span<const std::span<const std::byte>> send,
                std::span<const std::span<std::byte>> receive) override {
    std::ranges::copy(send[0], receive[0].begin());
  }
};

}  // namespace

std::unique_ptr<Communicator> make_self() { return std::make_unique<SelfCommunicator>(); }

}  // namespace gaggle
