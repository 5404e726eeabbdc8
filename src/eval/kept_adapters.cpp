#include "eval/kept_adapters.h"

#include <algorithm>

namespace gaggle {

uint64_t own_bytes(const Method& method, const EvalContext& context) {
  if (method.inventory) return method.inventory->values.nbytes();
  const bool of_matrices = method.kind == MethodKind::merged || method.kind == MethodKind::spectr ||
                           method.kind == MethodKind::arrow_spectr || method.eval.general != 0;
  if (!of_matrices && !is_routed(method.kind)) return 0;  // parts of the collection
  constexpr uint64_t bytes_of_number = 4 + 2;             // in fp32, and rounded to bf16
  uint64_t numbers = 0;
  for (const Site& site : context.base.sites()) numbers += static_cast<uint64_t>(site.d_in);
  return context.collection.names.size() * numbers * bytes_of_number + (of_matrices ? bytes_of(context.collection) : 0);
}

RoutedAdapter* KeptAdapters::of(const Method& method, const ScoredTask& task) {
  const Key key = {method.name, depends_on_task(method) ? task.name : ""};
  const auto known = adapters_.find(key);
  if (known != adapters_.end()) return known->second.adapter.get();
  const uint64_t bytes = own_bytes(method, context_);
  make_room(key, bytes);
  // Kept once it could be made: else nothing would be scored in the method's name but the base.
  auto adapter = make_adapter(method, context_.collection, context_.prepared, context_.seed, context_.base, task);
  return (adapters_[key] = {std::move(adapter), bytes}).adapter.get();
}

// Those of other tasks go first, as they may never be asked for again, then the largest: many small ones are made anew in
// more time than a large one.
void KeptAdapters::make_room(const Key& coming, uint64_t bytes) {
  uint64_t held = bytes;
  for (const auto& [key, kept] : adapters_) held += kept.bytes;
  const auto rank = [&](const auto& entry) {
    const std::string& task = entry.first.second;
    return std::pair(!task.empty() && task != coming.second, entry.second.bytes);
  };
  while (held > most_ && !adapters_.empty()) {
    const auto first = std::ranges::max_element(adapters_, {}, rank);
    held -= first->second.bytes;
    adapters_.erase(first);
  }
}

}  // namespace gaggle
