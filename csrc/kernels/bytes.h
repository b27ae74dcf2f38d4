#pragma once
#include "part.h"

// Bytes beside floats: as many as a vector has lanes, widened to 32 bits for comparing.
namespace {

typedef int32_t numbers __attribute__((vector_size(LANES * 4)));
typedef uint8_t bytes __attribute__((vector_size(LANES)));

TAMIS_INLINE numbers load_numbers(const uint8_t* p, int64_t n) {
  bytes b = {};
  if (n == LANES)
    __builtin_memcpy(&b, p, LANES);
  else
    for (int64_t i = 0; i < n; ++i) b[i] = p[i];
  return __builtin_convertvector(b, numbers);
}

TAMIS_INLINE void store_numbers(uint8_t* p, numbers v, int64_t n) {
  const bytes b = __builtin_convertvector(v, bytes);
  if (n == LANES)
    __builtin_memcpy(p, &b, LANES);
  else
    for (int64_t i = 0; i < n; ++i) p[i] = b[i];
}

}  // namespace
