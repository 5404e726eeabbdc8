// Lane sums that travel to their owners layer by layer, while the layers below are still in their backward pass. What is
// added, and in which order, is as without: the same bits.
#pragma once

#include "base/side_thread.h"
#include "kernel/device_stream.h"
#include "model/site.h"
#include "train/exchange.h"

namespace gaggle {

// Of one adapter, whose tensors are each of a site; of more than one rank.
class EarlySums {
 public:
  // Collective: it sends over group.beside(). `sites`: of the base; `device`: of the gradients.
  EarlySums(Communicator& group, const ParameterLayout& layout, int64_t lanes, at::Device device,
            const std::vector<Site>& sites);
  // A step's lanes begin, or begin once more. What an earlier try left under way is waited for, and forgotten.
  void begin();
  // This rank's gradients of the layer are complete in the last lane's buffer; or it `failed`, and sends what says nothing,
  // since the others wait for it. On all ranks in the same order; a layer that was sent is left alone.
  void send(int layer, LaneSums& sums, bool failed, SideThread& thread);
  // Once all layers were sent: the sum over all lanes of what this rank owns, compact. Throws what sending threw.
  at::Tensor take();

 private:
  struct Bucket {
    Owners owners;                  // of the layer's tensors
    std::vector<FlatRange> ranges;  // that are the layer's
    std::vector<FlatRange> mine;    // among what this rank owns
  };
  struct Sent {
    Bucket* bucket;
    Exchange::Parcels parcels;
    DevicePoint packed, here;
    std::shared_future<void> done;
  };

  Exchange exchange_;
  at::Device device_;
  int64_t owned_ = 0;
  std::map<int, Bucket> buckets_;  // by layer
  std::deque<Sent> sent_;
};

}  // namespace gaggle
