// Matrices in few bits, as files hold them: every row is codes, and scales beside them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/gguf.h"

namespace gaggle {

// gguf: the blocks of one of GGUF's types, whose scales lie among the codes.
// int8: a byte a value and one scale a row, value = code · scale / 127 (LLM.int8, arXiv 2208.07339, as bitsandbytes has it).
// nf4: half a byte a value, the first of two in the high half, one scale for 64 values (QLoRA, arXiv 2305.14314).
enum class RowKind { gguf, int8, nf4 };

struct RowForm {
  RowKind kind = RowKind::gguf;
  GgufType type = GgufType::f32;  // of gguf
  bool operator==(const RowForm&) const = default;
};

constexpr float int8_step = 7.874015748698502e-3F;  // 1 / 127
constexpr int64_t nf4_block = 64;
extern const float nf4_values[16];  // what the codes stand for, times the scale

// Whether rows of `width` values can have the form: they are whole blocks.
bool takes(const RowForm& form, int64_t width);
int64_t code_bytes(const RowForm& form, int64_t width);   // of a row
int64_t scale_count(const RowForm& form, int64_t width);  // of a row, fp32 each

struct StoredRows {
  RowForm form;
  int64_t rows = 0, width = 0;
  std::vector<std::byte> codes;  // [rows · code_bytes]
  std::vector<float> scales;     // [rows · scale_count]
};

// One row → fp32.
void expand_row(const RowForm& form, std::span<const std::byte> codes, std::span<const float> scales,
                std::span<float> values);
// All rows, [rows · width].
void expand(const StoredRows& stored, std::span<float> values);
// int8 or nf4 of rows of plain values, as bitsandbytes makes them: each value goes to the code next to it.
StoredRows quantised(RowKind kind, std::span<const float> values, int64_t rows, int64_t width);

}  // namespace gaggle
