#pragma once
#include "part.h"

// Bytes beside floats: as many as a vector has lanes, widened to 32 bits for comparing.
namespace {

typedef int32_t numbers __attribute__((vector_size(LANES * 4)));
typedef uint8_t bytes __attribute__((vector_size(LANES)));

typedef uint16_t shorts __attribute__((vector_size(LANES * 2)));
typedef uint8_t unaligned_bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

// In steps of two: GCC takes wider ones apart lane by lane.
TAMIS_INLINE numbers widened(bytes b) { return __builtin_convertvector(__builtin_convertvector(b, shorts), numbers); }
TAMIS_INLINE bytes narrowed(numbers v) { return __builtin_convertvector(__builtin_convertvector(v, shorts), bytes); }

template <class Kind>
TAMIS_INLINE numbers take_numbers(Kind, const uint8_t* p, int64_t n) {
  if (Kind::whole) return widened(*(const unaligned_bytes*)p);
  uint8_t lanes[LANES] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return widened(*(const unaligned_bytes*)lanes);
}

template <class Kind>
TAMIS_INLINE void put_numbers(Kind, uint8_t* p, numbers v, int64_t n) {
  const bytes b = narrowed(v);
  if (Kind::whole) {
    *(unaligned_bytes*)p = b;
    return;
  }
  uint8_t lanes[LANES];
  *(unaligned_bytes*)lanes = b;
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}

}  // namespace
