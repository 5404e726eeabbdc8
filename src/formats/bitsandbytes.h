// Matrices of folders that bitsandbytes has quantised (transformers' save_pretrained): nf4, its scales quantised once more
// or not, and int8.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "formats/stored_rows.h"
#include "formats/tensor.h"

namespace gaggle {

// Finds a tensor of the folder by its name; nullptr: not there.
using FindTensor = std::function<const TensorView*(const std::string& name)>;

// Whether the tensor is a part of a quantised matrix besides its codes: "….weight.absmax".
bool is_bitsandbytes_part(const std::string& name);

// How the matrix of this name and shape [rows, width] is quantised; nullopt: it is not. Throws UserError naming `folder`
// and the tensor where a part is missing or of another shape, or where the kind is neither nf4 nor int8, or where the
// rows are no whole blocks.
std::optional<RowForm> bitsandbytes_form(const FindTensor& find, const std::string& folder, const std::string& name,
                                         std::span<const int64_t> shape);
// Its rows; it has a form.
StoredRows read_bitsandbytes(const FindTensor& find, const std::string& folder, const std::string& name,
                             std::span<const int64_t> shape);

}  // namespace gaggle
