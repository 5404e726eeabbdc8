// The processor of this host and the cores of it that this process may use.
#pragma once

#include <set>
#include <string>

namespace gaggle {

std::set<int> allowed_core_numbers();  // of the affinity mask
int affinity_cores();                  // how many these are

// /proc/cpuinfo names the model on x86; elsewhere the architecture has to do.
std::string processor_name();

}  // namespace gaggle
