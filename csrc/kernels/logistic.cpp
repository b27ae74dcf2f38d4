// Loss and gradient of logistic regression in one pass: logits, residuals and gradient while the block is in the cache.
#include "logistic.h"

#include "doubles.h"

namespace {

constexpr int STRIP = 4;  // vectors of logits in flight
constexpr int STRIP_ROWS = STRIP * WIDTH;
static_assert(LOGISTIC_ROWS % STRIP_ROWS == 0, "a block is a whole number of strips");

}  // namespace

extern "C" void TAMIS_KERNEL(logistic)(LogisticArgs* a) {
  const int64_t columns = a->columns;
  const double* const c = a->coefficients;
  const dvec high = broadcast(a->clip), low = -high, zero = {};
  dvec value = {}, intercept = {};
  for (int64_t k = 0; k < columns * WIDTH; ++k) a->partial[k] = 0;
  for (int64_t block = 0; block < a->blocks; ++block) {
    const double* const x = a->x + block * columns * LOGISTIC_ROWS;
    for (int strip = 0; strip < LOGISTIC_ROWS; strip += STRIP_ROWS) {
      const int64_t row = block * LOGISTIC_ROWS + strip;
      dvec z[STRIP], residual[STRIP];
      for (int v = 0; v < STRIP; ++v) z[v] = broadcast(c[0]);
      for (int64_t k = 0; k < columns; ++k) {
        const dvec of = broadcast(c[k + 1]);
        for (int v = 0; v < STRIP; ++v) z[v] += of * load(x + k * LOGISTIC_ROWS + strip + v * WIDTH);
      }
      for (int v = 0; v < STRIP; ++v) {
        const int64_t at = row + v * WIDTH;
        if (a->logits) store(a->logits + at, z[v]);
        const ivec inside = (z[v] <= high) & (z[v] >= low);
        const dvec f = choose(z[v] > high, high, choose(z[v] < low, low, z[v]));
        const dvec small = exp_of_negative(-absolute(f));
        const dvec share = 1.0 / (1.0 + small);
        const dvec sigmoid = choose(f >= zero, share, small * share);
        const dvec slope = small * share * share;  // sigmoid * (1 - sigmoid) without cancellation
        const dvec target = load(a->target + at);
        if (a->weight) {
          const dvec weight = load(a->weight + at);
          value += weight * (choose(f > zero, f, zero) + log_of_one_plus(small)) - target * f;
          residual[v] = choose(inside, weight * sigmoid - target, zero);
          if (a->curvature) store(a->curvature + at, weight * slope);
        } else {
          value += target * sigmoid;
          residual[v] = choose(inside, target * slope, zero);
        }
        intercept += residual[v];
      }
      for (int64_t k = 0; k < columns; ++k) {
        const double* const of = x + k * LOGISTIC_ROWS + strip;
        dvec even = residual[0] * load(of), odd = residual[1] * load(of + WIDTH);
        even += residual[2] * load(of + 2 * WIDTH), odd += residual[3] * load(of + 3 * WIDTH);
        store(a->partial + k * WIDTH, load(a->partial + k * WIDTH) + (even + odd));
      }
    }
  }
  a->value = sum(value);
  a->gradient[0] = sum(intercept);
  for (int64_t k = 0; k < columns; ++k) a->gradient[k + 1] = sum(load(a->partial + k * WIDTH));
}
