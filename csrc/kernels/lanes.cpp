// Copies short runs of neighbouring images between a tensor that has its images innermost and a panel. See LanesArgs.
#include "simd.h"

namespace {

template <bool AHEAD, bool BYPASS>
void copy_all(const LanesArgs& a) {
  for (int64_t p = 0; p < a.places; ++p) {
    if (a.dst_offset[p] < 0) continue;
    const float* const from = a.src + a.src_offset[p];
    float* const to = a.dst + a.dst_offset[p];
    int64_t i = 0;
    // Stores past the caches need an aligned address.
    if (BYPASS)
      for (; i < a.count && ((uintptr_t)(to + i) & (LANES * 4 - 1)); ++i) to[i] = from[i];
    for (; i + LANES <= a.count; i += LANES) {
      if (AHEAD) __builtin_prefetch(from + i + a.ahead);
      if (BYPASS) stream(to + i, load(from + i));
      else store(to + i, load(from + i));
    }
    for (; i < a.count; ++i) to[i] = from[i];
    for (; i < a.padded; ++i) to[i] = 0.0f;
  }
}

}  // namespace

extern "C" void TAMIS_KERNEL(lanes)(const LanesArgs* a) {
  if (a->bypass) return copy_all<false, true>(*a);
  if (a->ahead) return copy_all<true, false>(*a);
  copy_all<false, false>(*a);
}
