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

// The decoder rows of one micro-batch. T rows, S sequences, N targets.
struct Rows {
  std::vector<int32_t> ids;        // [T] token fed at each row
  std::vector<int32_t> positions;  // [T] its position in its sequence (counts cached rows too)
  std::vector<int64_t> starts;     // [S + 1] sequence s has the rows starts[s] … starts[s + 1]
  std::vector<Segment> segments;   // cover [0, T) in order
  // The rows of samples of even occurrence in the batch: the front of the segment of their task (alignment's
  // halves). A task that has none here is not named.
  std::vector<Segment> even;
  std::vector<int64_t> samples;  // [S] global index of the sample a sequence belongs to; only training fills it
  std::vector<int32_t> choices;  // [S] 0: the sample's output, n: its n-th wrong choice; empty: outputs alone
  std::vector<int64_t> target_rows;   // [N] rows whose next token is scored; may repeat (several choices)
  std::vector<int32_t> target_ids;    // [N] the token to come
  std::vector<float> target_weights;  // [N] d loss / d nll; only training reads it
  // Rows of a key/value cache that sequence s sees before its own, in order; empty, or one list per sequence.
  std::vector<std::vector<int64_t>> past;

  int64_t count() const { return static_cast<int64_t>(ids.size()); }
  int64_t sequences() const { return static_cast<int64_t>(starts.size()) - 1; }
};

}  // namespace gaggle
