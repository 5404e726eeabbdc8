#include "eval/decoding.h"

#include "base/error.h"
#include "eval/score.h"

namespace gaggle {
namespace {

// One pass over `rows`, a run of them for every sequence: they join its past.
at::Tensor feed(Decoding& decoding, Microbatch& batch, std::vector<Sequence>& sequences) {
  cover_with_one_segment(batch);
  for (const Sequence& sequence : sequences)
    if (sequence.source >= 0) batch.sources.push_back(sequence.source);
  const int64_t cached = decoding.cache.length;
  const auto hidden = decoding.base.forward(batch, decoding.adapter, &decoding.cache);
  std::vector<int64_t> last_rows;
  for (size_t s = 0; s < sequences.size(); ++s) {
    for (int64_t row = batch.decoder.starts[s]; row < batch.decoder.starts[s + 1]; ++row)
      sequences[s].past.push_back(cached + row);
    last_rows.push_back(batch.decoder.starts[s + 1] - 1);
  }
  return decoding.base.logits(hidden, last_rows);
}

}  // namespace

at::Tensor feed_prompts(Decoding& decoding, std::span<const size_t> batch, std::vector<Sequence>& sequences) {
  Microbatch microbatch;
  for (const size_t i : batch) {
    const GeneratePrompt& prompt = decoding.prompts[i];
    GAGGLE_CHECK(!prompt.input.empty(), "a prompt without tokens cannot be continued");
    append_sequence(microbatch.decoder, prompt.input);
    Sequence& sequence = sequences.emplace_back();
    sequence.prompt = i;
    if (prompt.source.empty()) continue;
    append_sequence(microbatch.encoder, prompt.source);
    sequence.source = microbatch.encoder.sequences() - 1;
  }
  return feed(decoding, microbatch, sequences);
}

at::Tensor feed_last_tokens(Decoding& decoding, std::vector<Sequence>& sequences) {
  Microbatch batch;
  for (const Sequence& sequence : sequences) {
    append_sequence(batch.decoder, std::span(sequence.tokens).last(1), static_cast<int64_t>(sequence.past.size()));
    batch.past.push_back(sequence.past);
  }
  return feed(decoding, batch, sequences);
}

}  // namespace gaggle
