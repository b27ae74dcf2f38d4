#pragma once
#include "tile.h"

// GNU vector types of the ISA being compiled (LANES and ISA come from CMakeLists.txt). Only <stdint.h> may be included in
// this folder: an inline function of the standard library compiled with AVX-512 flags could be the copy that the linker
// keeps for everyone. Everything here has internal linkage for the same reason.
#define TAMIS_CAT_(a, b) a##b
#define TAMIS_CAT(a, b) TAMIS_CAT_(a, b)
#define TAMIS_KERNEL(name) TAMIS_CAT(TAMIS_CAT(tamis_, name), TAMIS_CAT(_, ISA))
#define TAMIS_INLINE static inline __attribute__((always_inline))

#if LANES == 16 || defined(__aarch64__)
#define TAMIS_VECTOR_REGISTERS 32
#else
#define TAMIS_VECTOR_REGISTERS 16
#endif
// One register is left for the broadcast weight and one for the product where the ISA has no fused form.
#define TAMIS_MAX_MULTIPLY (TAMIS_VECTOR_REGISTERS == 32 ? 28 : 14)
#define TAMIS_MAX_DOT (TAMIS_VECTOR_REGISTERS == 32 ? 24 : 10)

namespace {

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef float unaligned_vec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

TAMIS_INLINE vec load(const float* p) { return *(const unaligned_vec*)p; }
TAMIS_INLINE void store(float* p, vec v) { *(unaligned_vec*)p = v; }
// Stores a vector past the caches where its address is aligned: a large result that nobody reads soon would only push out
// what is needed, and fetching the lines to overwrite would cost as much as writing them.
TAMIS_INLINE void stream(float* p, vec v) {
#if defined(__AVX512F__) && LANES == 16
  if (((uintptr_t)p & 63) == 0) return __builtin_ia32_movntps512(p, v);
#elif defined(__AVX__) && LANES == 8
  if (((uintptr_t)p & 31) == 0) return __builtin_ia32_movntps256(p, v);
#elif defined(__SSE__) && LANES == 4
  if (((uintptr_t)p & 15) == 0) return __builtin_ia32_movntps(p, v);
#endif
  store(p, v);
}
TAMIS_INLINE vec broadcast(float x) { return x - (vec){}; }

}  // namespace
