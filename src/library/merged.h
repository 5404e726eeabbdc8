// A collection's mean expert, which the method `merged` scores, as one LoRA that others load.
#pragma once

#include <span>

#include "formats/peft.h"
#include "registry/export.h"

namespace gaggle {

// Σσ² over singular values σ: of all, and of those that a rank keeps.
struct SiteEnergy {
  int64_t rank = 0;  // how many there are
  double all = 0, kept = 0;
  double share() const;  // kept / all; 1 of nothing
};

struct MergedLora {
  PeftAdapter lora;        // of scale 1, and one rank for all sites, padded with zeros
  SiteEnergy energy;       // summed over the sites; of `rank` the largest
  SiteEnergy worst;        // of the site that keeps the smallest share
  std::string worst_site;  // its module path
};

// M = (1/N) Σ scale · B A over N LoRAs, at every site of any of them; who has none there counts as zero. Of M's singular
// values the `rank` largest are kept (0: all that are not zero), split as B = U √S, A = √S Vᵀ: by QR of the joined
// factors [B_1 … B_N] and [A_1; …; A_N] and an SVD between them, in fp64.
// `names`: of the LoRAs, for messages. Throws UserError where two of them have a site with other widths.
MergedLora mean_expert(std::span<const PeftAdapter> experts, std::span<const std::string> names, int64_t rank);

// That of the experts that a collection pins, as a PEFT folder whose expert.json says what it is of and how much of Σσ²
// it keeps. Returns words on it. Throws UserError and NotFinite.
std::string export_merged(const Registry& registry, const std::string& collection, int64_t rank,
                          const ExportTarget& to);

}  // namespace gaggle
