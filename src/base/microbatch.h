// A micro-batch: all tokens of its sequences, one after the other. Nothing is padded.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gaggle {

// A range of tokens [begin, end) that share one low-rank pair: the tokens of one member (task or expert).
struct Segment {
  int member = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

// The sequences that one side of the model reads: T tokens, S sequences.
struct TokenSequences {
  std::vector<int32_t> ids;        // [T]
  std::vector<int32_t> positions;  // [T] a token's position in its sequence (cached tokens count too)
  std::vector<int64_t> starts;     // [S + 1] sequence s has the tokens starts[s] … starts[s + 1]
  std::vector<Segment> segments;   // cover [0, T) in order
  // The tokens of samples of even occurrence in the batch: the front of their task's segment (alignment
  // compares the two halves). A task without such samples is not named.
  std::vector<Segment> even;
  // [S] tokens of the text that a sequence belongs to, where more than it and its past: a last target is not fed, but
  // rotary positions that go by length count it, as in transformers. Empty: a text ends with its sequence.
  std::vector<int64_t> lengths;
  // [S] tokens of a sequence that are its prompt, by which routing that chooses for whole sequences goes. Empty: all are.
  std::vector<int64_t> prompts;
  std::vector<int64_t> samples;  // [S] global index of the sample a sequence belongs to; only training fills it

  int64_t count() const { return static_cast<int64_t>(ids.size()); }
  int64_t sequences() const { return starts.empty() ? 0 : static_cast<int64_t>(starts.size()) - 1; }
};

// The last sequence goes on with these tokens.
inline void extend_sequence(TokenSequences& to, std::span<const int32_t> ids) {
  to.ids.insert(to.ids.end(), ids.begin(), ids.end());
  for (size_t i = 0; i < ids.size(); ++i) to.positions.push_back(to.positions.back() + 1);
  to.starts.back() = to.count();
}

// One more sequence; its first token (there is one) stands at `position`.
inline void append_sequence(TokenSequences& to, std::span<const int32_t> ids, int64_t position = 0) {
  if (to.starts.empty()) to.starts.push_back(0);
  to.starts.push_back(to.count());
  to.ids.push_back(ids[0]);
  to.positions.push_back(static_cast<int32_t>(position));
  extend_sequence(to, ids.subspan(1));
}

// Whose tokens a site reads.
enum class Side { decoder, encoder };
inline constexpr Side sides[] = {Side::decoder, Side::encoder};

// One thing for each side.
template <class T>
struct BySide {
  T decoder{}, encoder{};
  T& operator[](Side side) { return side == Side::decoder ? decoder : encoder; }
  const T& operator[](Side side) const { return side == Side::decoder ? decoder : encoder; }
};

// S and T are the decoder's; N of its tokens are scored.
struct Microbatch {
  TokenSequences decoder;
  TokenSequences encoder;        // empty: a decoder alone, or what the encoder made lies in the cache
  std::vector<int64_t> sources;  // [S] the encoder's sequence that a sequence reads; empty: a decoder alone

  std::vector<int32_t> choices;        // [S] 0: the sample's output, n: its n-th wrong choice; empty: outputs alone
  std::vector<int64_t> scored_tokens;  // [N] tokens whose next one is scored; may repeat (several choices)
  std::vector<int32_t> target_ids;     // [N] that next token
  std::vector<float> target_weights;   // [N] d loss / d nll; only training reads it
  // Tokens of a key/value cache that sequence s sees before its first, in order; empty, or one list per sequence.
  std::vector<std::vector<int64_t>> past;

  const TokenSequences& side(Side s) const { return s == Side::decoder ? decoder : encoder; }
  int64_t token_count() const { return decoder.count() + encoder.count(); }
};

// All tokens of each side are one member's.
inline void cover_with_one_segment(Microbatch& batch) {
  batch.decoder.segments = {{0, 0, batch.decoder.count()}};
  if (batch.encoder.count() > 0) batch.encoder.segments = {{0, 0, batch.encoder.count()}};
}

}  // namespace gaggle
