#pragma once
#include "simd.h"

// Vectors that are only partly there: the end of a stretch whose length is no multiple of LANES. The missing lanes read as
// zero and are not written. The same vector code then serves whole and partial vectors, so that both round alike.
#define TAMIS_ALWAYS __attribute__((always_inline))  // for members and lambdas

namespace {

TAMIS_INLINE vec load_part(const float* p, int64_t n) {
  float lanes[LANES] = {};
  int64_t i = 0;
#if LANES > 8
  if (n & 8) __builtin_memcpy(lanes, p, 32), i = 8;
#endif
#if LANES > 4
  if (n & 4) __builtin_memcpy(lanes + i, p + i, 16), i += 4;
#endif
  if (n & 2) __builtin_memcpy(lanes + i, p + i, 8), i += 2;
  if (n & 1) lanes[i] = p[i];
  return load(lanes);
}

TAMIS_INLINE void store_part(float* p, vec v, int64_t n) {
  float lanes[LANES];
  store(lanes, v);
  int64_t i = 0;
#if LANES > 8
  if (n & 8) __builtin_memcpy(p, lanes, 32), i = 8;
#endif
#if LANES > 4
  if (n & 4) __builtin_memcpy(p + i, lanes + i, 16), i += 4;
#endif
  if (n & 2) __builtin_memcpy(p + i, lanes + i, 8), i += 2;
  if (n & 1) p[i] = lanes[i];
}

// Tags that make "the whole vector is there" a constant of the compiled code.
struct Whole {
  static constexpr bool whole = true;
};
struct Part {
  static constexpr bool whole = false;
};

template <class Kind>
TAMIS_INLINE vec take(Kind, const float* p, int64_t n) {
  return Kind::whole ? load(p) : load_part(p, n);
}

template <bool BYPASS, class Kind>
TAMIS_INLINE void put_result(Kind, float* p, vec v, int64_t n) {
  if (!Kind::whole)
    store_part(p, v, n);
  else if (BYPASS)
    stream(p, v);
  else
    store(p, v);
}

template <class Kind>
TAMIS_INLINE void put(Kind, float* p, vec v, int64_t n) {
  if (Kind::whole)
    store(p, v);
  else
    store_part(p, v, n);
}

}  // namespace
