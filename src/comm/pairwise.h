// The verbs as exchanges between all pairs of ranks: what a backend does is one exchange.
#pragma once

#include "comm/communicator.h"

namespace gaggle {

class PairwiseCommunicator : public Communicator {
 public:
  void barrier() final;
  void broadcast(std::span<std::byte> data, int root) final;
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) final;
  void all_to_all(std::span<const std::span<const std::byte>> send,
                  std::span<const std::span<std::byte>> receive) final;
  std::vector<std::string> all_gather_text(const std::string& mine) final;

 protected:
  // send[r] goes to rank r, receive[r] comes from rank r; what goes to oneself is copied. An empty span is not
  // sent: both ends know the sizes. `verb` and `bytes` are for the record of collectives.
  virtual void exchange(const char* verb, size_t bytes, std::span<const std::span<const std::byte>> send,
                        std::span<const std::span<std::byte>> receive) = 0;
};

}  // namespace gaggle
