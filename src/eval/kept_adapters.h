// Adapters that are kept from item to item, as making one costs more than scoring a small item; of hundreds of experts each has
// hundreds of megabytes of its own, so not more than there is room for.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "eval/items.h"

namespace gaggle {

// What a method's adapter holds besides the collection, about: directions of the experts, or matrices as large as theirs.
uint64_t own_bytes(const Method& method, const EvalContext& context);

class KeptAdapters {
 public:
  // `most`: bytes of all that are kept, but the one in use. `context` lives longer.
  KeptAdapters(const EvalContext& context, uint64_t most) : context_(context), most_(most) {}
  // Null for none. Valid until the next call.
  RoutedAdapter* of(const Method& method, const ScoredTask& task);

 private:
  struct Kept {
    std::unique_ptr<RoutedAdapter> adapter;
    uint64_t bytes = 0;
  };
  // By the method's name and, where the adapter is of one task, the task's.
  using Key = std::pair<std::string, std::string>;
  void make_room(const Key& coming, uint64_t bytes);

  const EvalContext& context_;
  uint64_t most_;
  std::map<Key, Kept> adapters_;
};

}  // namespace gaggle
