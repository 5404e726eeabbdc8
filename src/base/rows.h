// A batch is rows, not a rectangle: all real tokens of a micro-batch one after the other. No padding.
#pragma once

#include <cstdint>
#include <vector>

namespace gaggle {

// A range of rows [begin, end) that share one low-rank pair: the rows of one member (task or expert).
struct Segment {
  int member = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

// Sequences of tokens. T rows, S sequences.
struct RowSet {
  std::vector<int32_t> ids;        // [T] token fed at each row
  std::vector<int32_t> positions;  // [T] its position in its sequence (counts cached rows too)
  std::vector<int64_t> starts;     // [S + 1] sequence s has the rows starts[s] … starts[s + 1]
  std::vector<Segment> segments;   // cover [0, T) in order
  // The rows of samples of even occurrence in the batch: the front of the segment of their task (alignment's
  // halves). A task that has none here is not named.
  std::vector<Segment> even;
  std::vector<int64_t> samples;  // [S] global index of the sample a sequence belongs to; only training fills it

  int64_t count() const { return static_cast<int64_t>(ids.size()); }
  int64_t sequences() const { return starts.empty() ? 0 : static_cast<int64_t>(starts.size()) - 1; }
};

// Whose rows.
enum class Side { decoder, encoder };
inline constexpr Side sides[] = {Side::decoder, Side::encoder};

// One thing for each side.
template <class T>
struct BySide {
  T decoder{}, encoder{};
  T& operator[](Side side) { return side == Side::decoder ? decoder : encoder; }
  const T& operator[](Side side) const { return side == Side::decoder ? decoder : encoder; }
};

// One micro-batch: the decoder's rows, N targets among them, and the rows that an encoder reads.
struct Rows : RowSet {
  RowSet encoder;                // empty: a decoder alone, or what the encoder made lies in the cache
  std::vector<int64_t> sources;  // [S] the encoder's sequence that a sequence reads; empty: a decoder alone

  std::vector<int32_t> choices;  // [S] 0: the sample's output, n: its n-th wrong choice; empty: outputs alone
  std::vector<int64_t> target_rows;   // [N] rows whose next token is scored; may repeat (several choices)
  std::vector<int32_t> target_ids;    // [N] the token to come
  std::vector<float> target_weights;  // [N] d loss / d nll; only training reads it
  // Rows of a key/value cache that sequence s sees before its own, in order; empty, or one list per sequence.
  std::vector<std::vector<int64_t>> past;

  const RowSet& of(Side side) const { return side == Side::decoder ? *this : encoder; }
  int64_t fed() const { return count() + encoder.count(); }
};

inline BySide<std::vector<Segment>> segments_by_side(const Rows& rows) {
  return {rows.segments, rows.encoder.segments};
}

}  // namespace gaggle
