#include "source_pairs.h"

#include <cmath>

#include "bfgs.h"
#include "pair_objectives.h"

namespace tamis {
namespace {

constexpr double tolerance = 1e-6, sum_tolerance = 1e-7;

void estimate(const SourceBlocks& sources, int64_t i, int64_t j, const PairEstimates& wanted, const Level& level,
              double* values, int64_t* failed) {
  PairOfSources pair(sources[i], sources[j], sources.columns(), level);
  for (int v = 0; v < 4; ++v) values[v] = NAN;
  *failed = 0;
  if (wanted.discrepancy) {
    ConvexPair objective(pair, sources[i].label, sources[j].label_flipped);
    const Minimum m = newton(objective, tolerance);
    *failed += !m.converged;
    values[0] = std::fabs(pair.decisions(0, m.theta).error - pair.decisions(1, m.theta).error);
  }
  if (wanted.signed_disparity) {
    ConvexPair objective(pair, sources[i].group, sources[j].group_flipped);
    const Minimum m = newton(objective, tolerance);
    *failed += !m.converged;
    values[1] = std::fabs(pair.decisions(0, m.theta).gap - pair.decisions(1, m.theta).gap);
  }
  for (int loss = 0; wanted.published_disparity && loss < 2; ++loss) {
    RidgeStart ridge(pair, loss);
    const Minimum start = newton(ridge, sum_tolerance);
    PublishedPair objective(pair, loss);
    const Minimum m = bfgs(objective, start.theta, wanted.gtol, wanted.max_iter);
    *failed += !start.converged + !m.converged;
    values[2 + loss] =
        std::fabs(std::fabs(pair.decisions(0, m.theta).gap) - std::fabs(pair.decisions(1, m.theta).gap));
  }
}

}  // namespace

void source_pairs(const PackedSources& packed, const int64_t* pairs, int64_t count, const PairEstimates& wanted,
                  const Level& level, const Parallel& parallel, double* values, int64_t* failed) {
  const SourceBlocks sources(packed, parallel);
  run_tasks(parallel, count, [&](int64_t p) {
    estimate(sources, pairs[2 * p], pairs[2 * p + 1], wanted, level, values + 4 * p, failed + p);
  });
}

}  // namespace tamis
