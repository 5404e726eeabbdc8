#include "eval/greedy.h"

namespace gaggle {

void generate_greedy(Decoding& decoding, std::span<const size_t> batch, const GenerateOptions& options,
                     std::vector<std::vector<int32_t>>& outputs) {
  std::vector<Sequence> active;
  for (int64_t step = 0; step < options.max_new_tokens; ++step) {
    if (options.between) options.between();
    const auto logits = step == 0 ? feed_prompts(decoding, batch, active) : feed_last_tokens(decoding, active);
    const auto best = logits.argmax(1).to(at::kCPU);
    std::vector<Sequence> going;
    for (size_t s = 0; s < active.size(); ++s) {
      const auto token = static_cast<int32_t>(best.data_ptr<int64_t>()[s]);
      if (token == options.end) continue;
      outputs[active[s].prompt].push_back(token);
      if (options.on_token) options.on_token(active[s].prompt, token);
      active[s].tokens.push_back(token);
      going.push_back(std::move(active[s]));
    }
    active = std::move(going);
    if (active.empty()) return;
  }
}

}  // namespace gaggle
