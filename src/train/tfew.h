// The losses of T-Few (Liu et al., arXiv 2205.05638) on an output and its wrong choices, as the few-shot runs
// of Poly and MHR use them.
#pragma once

#include <span>

#include "base/microbatch.h"

namespace gaggle {

// examples: per sample its output (Microbatch::choices 0), then its wrong choices, all in one micro-batch. With
// n_c the nll of choice c's tokens and T_c their number, p = exp(-nll), and c = 0 the output, a sample's losses
// are
//   LM  Σ n_0 / T_0
//   UL  -Σ_wrong Σ log(1 - p + 0.01) / Σ_wrong T_c    unlikelihood
//   LN  -log softmax_c(β)_0,  β_c = -Σ n_c / T_c      rank classification, normed by length
// and L = Σ_samples share · (LM + UL + LN). share · LM is what Microbatch::target_weights of the output make of
// its nll: share = their sum (loss_average "example": 1 / samples, as in the paper; "token": T_0 / target
// tokens). Those of wrong choices are not read. A sample without wrong choices has the LM loss alone, to the
// bit. The 0.01 is not in the paper but in its code and in mttl's: it keeps UL finite where p is 1. T-Few's
// code pools LM and UL over the tokens of a batch; here, as in the paper, each sample has its own mean.
//
// nll [N] → L, and d L / d nll to weights [N] (empty: not wanted).
double tfew_loss(const Microbatch& batch, std::span<const float> nll, std::span<float> weights);

}  // namespace gaggle
