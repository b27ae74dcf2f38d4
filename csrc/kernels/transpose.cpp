// Moves data between the user's layout and panels. See TransposeArgs for the contract.
#include "simd.h"

namespace {

#if LANES == 4
constexpr int BLOCK = 4;
#else
constexpr int BLOCK = 8;  // wider blocks need more shuffles per float than they save
#endif
typedef float row __attribute__((vector_size(BLOCK * 4)));
typedef float unaligned_row __attribute__((vector_size(BLOCK * 4), aligned(4), may_alias));
typedef int32_t lanes __attribute__((vector_size(BLOCK * 4)));

#if LANES == 4
TAMIS_INLINE void transpose_block(row* m) {
  const row a = __builtin_shuffle(m[0], m[1], (lanes){0, 4, 1, 5}), b = __builtin_shuffle(m[0], m[1], (lanes){2, 6, 3, 7});
  const row c = __builtin_shuffle(m[2], m[3], (lanes){0, 4, 1, 5}), d = __builtin_shuffle(m[2], m[3], (lanes){2, 6, 3, 7});
  m[0] = __builtin_shuffle(a, c, (lanes){0, 1, 4, 5});
  m[1] = __builtin_shuffle(a, c, (lanes){2, 3, 6, 7});
  m[2] = __builtin_shuffle(b, d, (lanes){0, 1, 4, 5});
  m[3] = __builtin_shuffle(b, d, (lanes){2, 3, 6, 7});
}
#else
TAMIS_INLINE row interleave_low(row a, row b) { return __builtin_shuffle(a, b, (lanes){0, 8, 1, 9, 4, 12, 5, 13}); }
TAMIS_INLINE row interleave_high(row a, row b) { return __builtin_shuffle(a, b, (lanes){2, 10, 3, 11, 6, 14, 7, 15}); }
TAMIS_INLINE row pairs_low(row a, row b) { return __builtin_shuffle(a, b, (lanes){0, 1, 8, 9, 4, 5, 12, 13}); }
TAMIS_INLINE row pairs_high(row a, row b) { return __builtin_shuffle(a, b, (lanes){2, 3, 10, 11, 6, 7, 14, 15}); }
TAMIS_INLINE void transpose_block(row* m) {
  row t[8], u[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = interleave_low(m[2 * i], m[2 * i + 1]);
    t[2 * i + 1] = interleave_high(m[2 * i], m[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    u[4 * i] = pairs_low(t[4 * i], t[4 * i + 2]);
    u[4 * i + 1] = pairs_high(t[4 * i], t[4 * i + 2]);
    u[4 * i + 2] = pairs_low(t[4 * i + 1], t[4 * i + 3]);
    u[4 * i + 3] = pairs_high(t[4 * i + 1], t[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    m[i] = __builtin_shuffle(u[i], u[i + 4], (lanes){0, 1, 2, 3, 8, 9, 10, 11});
    m[i + 4] = __builtin_shuffle(u[i], u[i + 4], (lanes){4, 5, 6, 7, 12, 13, 14, 15});
  }
}
#endif

}  // namespace

extern "C" void TAMIS_KERNEL(transpose)(const TransposeArgs* a) {
  const int64_t whole_rows = a->rows - a->rows % BLOCK, whole_cols = a->cols - a->cols % BLOCK;
  for (int64_t i = 0; i < whole_rows; i += BLOCK) {
    const float* const src = a->src + i * a->src_step;
    for (int64_t j = 0; j < whole_cols; j += BLOCK) {
      row m[BLOCK];
#pragma GCC unroll 8
      for (int r = 0; r < BLOCK; ++r) m[r] = *(const unaligned_row*)(src + r * a->src_step + j);
      transpose_block(m);
#pragma GCC unroll 8
      for (int r = 0; r < BLOCK; ++r) *(unaligned_row*)(a->dst + a->dst_offset[j + r] + i) = m[r];
    }
    for (int64_t j = whole_cols; j < a->cols; ++j)
      for (int r = 0; r < BLOCK; ++r) a->dst[a->dst_offset[j] + i + r] = src[r * a->src_step + j];
  }
  for (int64_t i = whole_rows; i < a->rows; ++i)
    for (int64_t j = 0; j < a->cols; ++j) a->dst[a->dst_offset[j] + i] = a->src[i * a->src_step + j];
}
