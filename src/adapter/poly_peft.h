// Inventories as folders hold them, and back: Poly and MHR as PEFT's Poly, (IA)³ as its IA3 or our Poly form.
#pragma once

#include "adapter/poly.h"
#include "formats/peft_ia3.h"
#include "formats/peft_poly.h"

namespace gaggle {

// Every site gets its own logits, also where several share a row of the table. Fixed routing becomes logits
// that give it: 0 for uniform, ±40 for a task's own skill.
PeftPoly poly_to_peft(const PolySpec& spec, const at::Tensor& values, const PeftBase& base);

// [poly_layout(spec).size()] fp32. Throws UserError (naming `where`) if skills, heads, ranks, tasks or sites
// are not those of `spec`. A row of the table that several sites share is the first site's.
at::Tensor poly_from_peft(const PeftPoly& poly, const PolySpec& spec, const std::string& where);

// The same of rescaling skills; PEFT's own form where there is one skill for all tasks.
PeftIa3 ia3_to_peft(const PolySpec& spec, const at::Tensor& values, const PeftBase& base);
at::Tensor ia3_from_peft(const PeftIa3& ia3, const PolySpec& spec, const std::string& where);

}  // namespace gaggle
