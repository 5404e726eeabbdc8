#include "eval/kept_adapters.h"

namespace gaggle {

RoutedAdapter* KeptAdapters::of(const Method& method, const ScoredTask& task) {
  auto& adapter = adapters_[{method.name, depends_on_task(method) ? task.name : ""}];
  // Also once more where it could not be made: nothing would be scored in the method's name but the base.
  if (!adapter)
    adapter = make_adapter(method, context_.collection, context_.prepared, context_.seed, context_.base, task);
  return adapter.get();
}

}  // namespace gaggle
