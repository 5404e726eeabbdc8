// Adapters that are kept from item to item: making one costs more than scoring a small item.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "eval/items.h"

namespace gaggle {

class KeptAdapters {
 public:
  explicit KeptAdapters(const EvalContext& context) : context_(context) {}  // which lives longer
  // Null for none. By the method's name.
  RoutedAdapter* of(const Method& method, const ScoredTask& task);

 private:
  const EvalContext& context_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<RoutedAdapter>> adapters_;
};

}  // namespace gaggle
