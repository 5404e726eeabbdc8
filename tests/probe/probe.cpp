#include "probe/probe.h"

#include <cstdio>
#include <exception>

namespace gaggle::probe {

std::map<std::string, Run>& commands() {
  static std::map<std::string, Run> all;
  return all;
}

int run_command(const std::vector<std::string>& words) {
  if (words.empty() || !commands().contains(words[0])) {
    for (const auto& [name, run] : commands()) std::fprintf(stderr, "probe %s …\n", name.c_str());
    return 2;
  }
  try {
    return commands()[words[0]]({words.begin() + 1, words.end()});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}

}  // namespace gaggle::probe

int main(int argc, char** argv) { return gaggle::probe::run_command({argv + 1, argv + argc}); }
