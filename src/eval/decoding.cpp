#include "eval/decoding.h"

#include "base/error.h"
#include "eval/score.h"

namespace gaggle {
namespace {

// One pass over `rows`, a run of them for every sequence: they join its past.
at::Tensor feed(Decoding& decoding, Rows& rows, std::vector<Sequence>& sequences) {
  cover_with_one_segment(rows);
  for (const Sequence& sequence : sequences)
    if (sequence.source >= 0) rows.sources.push_back(sequence.source);
  const int64_t cached = decoding.cache.length;
  const auto hidden = decoding.base.forward(rows, decoding.adapter, &decoding.cache);
  std::vector<int64_t> last_rows;
  for (size_t s = 0; s < sequences.size(); ++s) {
    for (int64_t row = rows.starts[s]; row < rows.starts[s + 1]; ++row)
      sequences[s].past.push_back(cached + row);
    last_rows.push_back(rows.starts[s + 1] - 1);
  }
  return decoding.base.logits(hidden, last_rows);
}

}  // namespace

at::Tensor feed_prompts(Decoding& decoding, std::span<const size_t> batch, std::vector<Sequence>& sequences) {
  Rows rows;
  for (const size_t i : batch) {
    const GeneratePrompt& prompt = decoding.prompts[i];
    GAGGLE_CHECK(!prompt.input.empty(), "a prompt without tokens cannot be continued");
    append_sequence(rows, prompt.input, 0);
    Sequence& sequence = sequences.emplace_back();
    sequence.prompt = i;
    if (prompt.source.empty()) continue;
    append_sequence(rows.encoder, prompt.source, 0);
    sequence.source = rows.encoder.sequences() - 1;
  }
  return feed(decoding, rows, sequences);
}

at::Tensor feed_last_tokens(Decoding& decoding, std::vector<Sequence>& sequences) {
  Rows rows;
  for (const Sequence& sequence : sequences) {
    append_sequence(rows, std::span(sequence.tokens).last(1), static_cast<int64_t>(sequence.past.size()));
    rows.past.push_back(sequence.past);
  }
  return feed(decoding, rows, sequences);
}

}  // namespace gaggle
