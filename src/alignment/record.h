// What a run stores of alignment in runs/NAME/alignment/: alignment.jsonl, one line per measured step and
// space, and alignment.safetensors, the sums and matrices of the windows.
#pragma once

#include <filesystem>
#include <vector>

#include "alignment/windows.h"
#include "formats/safetensors.h"

namespace gaggle {

// Numbers that are not finite become null, and come back as NaN.
void append_step(const std::filesystem::path& folder, const MeasuredStep& step);
// Lines in file order; nothing if there is no file; a last line that was cut off is left out. Throws UserError
// naming the line that is not ours.
std::vector<MeasuredStep> read_steps(const std::filesystem::path& folder);
// Keeps the lines of steps up to `step`: those after it will be measured again.
void truncate_steps(const std::filesystem::path& folder, int64_t step);

// Tensors by name, "<space>.running.halves.product" … "<space>.complete.noise_free", with task names, groups
// and counts in the metadata. Written whole or not at all.
void write_windows(const std::filesystem::path& folder, const AlignmentWindows& windows);
// Throws UserError where the file is missing or not of this form.
AlignmentWindows read_windows(const std::filesystem::path& folder);

// An F64 or I64 tensor of a file. Throws UserError: another type, or it is not there.
at::Tensor matrix_of(const SafetensorsFile& file, const std::string& name);

// The start of a run that goes on from `step` (0: from the beginning): later lines go, and the windows are
// those in the folder if they are of the same tasks, sites and window and hold nothing later; else `fresh`
// ones. So what is written with every checkpoint is what a resumed run goes on with.
AlignmentWindows resume_windows(const std::filesystem::path& folder, int64_t step, AlignmentWindows fresh);

}  // namespace gaggle
