#pragma once
#include <stdint.h>

namespace tamis {

// Results of this size (8 MB) leave the caches before anybody reads them; kernels write them past the caches.
constexpr int64_t bypass_floats = int64_t(2) << 20;

// Makes stores that went past the caches visible to other threads.
inline void store_fence() {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

}  // namespace tamis
