#pragma once
#include "simd.h"

// Vectors of doubles of the ISA being compiled, and what logistic regression needs of the exponential function.
namespace {

constexpr int WIDTH = LANES / 2;
typedef double dvec __attribute__((vector_size(WIDTH * 8)));
typedef double unaligned_dvec __attribute__((vector_size(WIDTH * 8), aligned(8), may_alias));
typedef int64_t ivec __attribute__((vector_size(WIDTH * 8)));

TAMIS_INLINE dvec load(const double* p) { return *(const unaligned_dvec*)p; }
TAMIS_INLINE void store(double* p, dvec v) { *(unaligned_dvec*)p = v; }
TAMIS_INLINE dvec broadcast(double x) { return x - (dvec){}; }
TAMIS_INLINE dvec choose(ivec mask, dvec yes, dvec no) { return (dvec)((mask & (ivec)yes) | (~mask & (ivec)no)); }
TAMIS_INLINE dvec absolute(dvec x) { return (dvec)((ivec)x & 0x7fffffffffffffffLL); }

// Always the same order, so that a sum depends on nothing but its terms and the width of vectors.
TAMIS_INLINE double sum(dvec v) {
  double lanes[WIDTH];
  store(lanes, v);
  double total = 0;
  for (int i = 0; i < WIDTH; ++i) total += lanes[i];
  return total;
}

// e^x for x <= 0, to about one unit in the last place; values below e^-700 become that.  x = k ln 2 + r with |r| <= ln 2 / 2,
// e^r by its Taylor series (the first term left out is below 2^-57), and k added to the exponent.
TAMIS_INLINE dvec exp_of_negative(dvec x) {
  const dvec magic = broadcast(6755399441055744.0);  // 1.5 * 2^52: adding it rounds to an integer, held in the low bits
  x = choose(x < -700.0, broadcast(-700.0), x);
  const dvec shifted = x * 1.4426950408889634 + magic;
  const dvec k = shifted - magic;
  const dvec r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10;
  dvec p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return (dvec)((ivec)p + ((ivec)shifted << 52));
}

// log(1 + t) for t in [0, 1]: 2 artanh(s) as a series, s = t / (2 + t), or from ln 2 downwards with s = (t - 1) / (t + 3);
// |s| <= 0.1716, and the first term left out is below 2^-57.
TAMIS_INLINE dvec log_of_one_plus(dvec t) {
  const ivec large = t > 0.41421356237309503;
  const dvec s = choose(large, t - 1.0, t) / choose(large, t + 3.0, t + 2.0);
  const dvec q = s * s;
  dvec p = q * (1.0 / 21.0) + 1.0 / 19.0;
  p = p * q + 1.0 / 17.0;
  p = p * q + 1.0 / 15.0;
  p = p * q + 1.0 / 13.0;
  p = p * q + 1.0 / 11.0;
  p = p * q + 1.0 / 9.0;
  p = p * q + 1.0 / 7.0;
  p = p * q + 1.0 / 5.0;
  p = p * q + 1.0 / 3.0;
  p = p * q + 1.0;
  return (s + s) * p + choose(large, broadcast(0.69314718055994531), broadcast(0.0));
}

}  // namespace
