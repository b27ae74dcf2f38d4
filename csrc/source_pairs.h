#pragma once
#include "dispatch.h"
#include "source_rows.h"

namespace tamis {

// Which estimates to make of every pair, and the limits of BFGS.
struct PairEstimates {
  bool discrepancy, signed_disparity, published_disparity;
  double gtol;
  int64_t max_iter;
};

// Pairs of sources, compared as src/tamis/sources/_pair.py describes. For pair p, of sources pairs[2 p] and pairs[2 p + 1]:
// values[4 p ...] = discrepancy, signed disparity, published disparity with the first source for the loss and with the second,
// NaN where not wanted; failed[p] = number of fits that hit a limit. A pair is one task: nothing depends on the threads.
// Sources of pairs whose disparity is wanted must have rows of both groups.
void source_pairs(const PackedSources& packed, const int64_t* pairs, int64_t count, const PairEstimates& wanted,
                  const Level& level, const Parallel& parallel, double* values, int64_t* failed);

}  // namespace tamis
