// Moves data between the user's layout and panels: a matrix turned over, with the place of every row and column free. See
// TransposeArgs for the contract. LANES x LANES blocks are turned in registers: log2(LANES) rounds of shuffles, so a
// block costs LANES loads, LANES stores and LANES * log2(LANES) shuffles, about an eighth of a cycle a float with 16
// lanes, which is what memory delivers. Ragged ends read a whole block where memory allows and store what counts.
#include "simd.h"

namespace {

typedef int32_t ints __attribute__((vector_size(LANES * 4)));

#if LANES == 4
TAMIS_INLINE void turn(vec* m) {
  const vec a = __builtin_shuffle(m[0], m[1], (ints){0, 4, 1, 5}), b = __builtin_shuffle(m[0], m[1], (ints){2, 6, 3, 7});
  const vec c = __builtin_shuffle(m[2], m[3], (ints){0, 4, 1, 5}), d = __builtin_shuffle(m[2], m[3], (ints){2, 6, 3, 7});
  m[0] = __builtin_shuffle(a, c, (ints){0, 1, 4, 5});
  m[1] = __builtin_shuffle(a, c, (ints){2, 3, 6, 7});
  m[2] = __builtin_shuffle(b, d, (ints){0, 1, 4, 5});
  m[3] = __builtin_shuffle(b, d, (ints){2, 3, 6, 7});
}
#else
#if LANES == 8
TAMIS_INLINE vec singles_low(vec a, vec b) { return __builtin_shuffle(a, b, (ints){0, 8, 1, 9, 4, 12, 5, 13}); }
TAMIS_INLINE vec singles_high(vec a, vec b) { return __builtin_shuffle(a, b, (ints){2, 10, 3, 11, 6, 14, 7, 15}); }
TAMIS_INLINE vec pairs_low(vec a, vec b) { return __builtin_shuffle(a, b, (ints){0, 1, 8, 9, 4, 5, 12, 13}); }
TAMIS_INLINE vec pairs_high(vec a, vec b) { return __builtin_shuffle(a, b, (ints){2, 3, 10, 11, 6, 7, 14, 15}); }
#else
TAMIS_INLINE vec singles_low(vec a, vec b) {
  return __builtin_shuffle(a, b, (ints){0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29});
}
TAMIS_INLINE vec singles_high(vec a, vec b) {
  return __builtin_shuffle(a, b, (ints){2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31});
}
TAMIS_INLINE vec pairs_low(vec a, vec b) {
  return __builtin_shuffle(a, b, (ints){0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29});
}
TAMIS_INLINE vec pairs_high(vec a, vec b) {
  return __builtin_shuffle(a, b, (ints){2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31});
}
TAMIS_INLINE vec even_quads(vec a, vec b) {
  return __builtin_shuffle(a, b, (ints){0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27});
}
TAMIS_INLINE vec odd_quads(vec a, vec b) {
  return __builtin_shuffle(a, b, (ints){4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31});
}
#endif
TAMIS_INLINE void turn(vec* m) {
  vec t[LANES], u[LANES];
#pragma GCC unroll 8
  for (int i = 0; i < LANES / 2; ++i) {
    t[2 * i] = singles_low(m[2 * i], m[2 * i + 1]);
    t[2 * i + 1] = singles_high(m[2 * i], m[2 * i + 1]);
  }
  // Afterwards u[4 i + k] holds, in its q-th group of four floats, column 4 q + k of rows 4 i to 4 i + 3.
#pragma GCC unroll 4
  for (int i = 0; i < LANES / 4; ++i) {
    u[4 * i] = pairs_low(t[4 * i], t[4 * i + 2]);
    u[4 * i + 1] = pairs_high(t[4 * i], t[4 * i + 2]);
    u[4 * i + 2] = pairs_low(t[4 * i + 1], t[4 * i + 3]);
    u[4 * i + 3] = pairs_high(t[4 * i + 1], t[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
#if LANES == 8
    m[k] = __builtin_shuffle(u[k], u[k + 4], (ints){0, 1, 2, 3, 8, 9, 10, 11});
    m[k + 4] = __builtin_shuffle(u[k], u[k + 4], (ints){4, 5, 6, 7, 12, 13, 14, 15});
#else
    const vec even_top = even_quads(u[k], u[k + 4]), odd_top = odd_quads(u[k], u[k + 4]);
    const vec even_low = even_quads(u[k + 8], u[k + 12]), odd_low = odd_quads(u[k + 8], u[k + 12]);
    m[k] = even_quads(even_top, even_low);
    m[k + 4] = even_quads(odd_top, odd_low);
    m[k + 8] = odd_quads(even_top, even_low);
    m[k + 12] = odd_quads(odd_top, odd_low);
#endif
  }
}
#endif

// One block that may have fewer than LANES rows or columns.
TAMIS_INLINE void edge(const TransposeArgs& a, int64_t i, int64_t j, int rows, int cols) {
  vec m[LANES];
  const bool readable = j + LANES <= a.readable;
  for (int r = 0; r < LANES; ++r) {
    m[r] = (vec){};
    if (r >= rows) continue;
    const float* const from = a.src + a.src_offset[i + r] + j;
    if (readable) {
      m[r] = load(from);
    } else {
      for (int c = 0; c < cols; ++c) m[r][c] = from[c];
    }
  }
  turn(m);
  const int64_t wanted = a.padded_rows - i;
  for (int c = 0; c < cols; ++c) {
    if (a.dst_offset[j + c] < 0) continue;
    float* const to = a.dst + a.dst_offset[j + c] + i;
    if (wanted >= LANES) {
      store(to, m[c]);
    } else {
      for (int r = 0; r < wanted; ++r) to[r] = m[c][r];
    }
  }
}

template <bool AHEAD, bool BYPASS>
void transpose_all(const TransposeArgs& a) {
  const int64_t whole_rows = a.rows - a.rows % LANES, whole_cols = a.cols - a.cols % LANES;
  for (int64_t first = 0; first < whole_cols; first += a.strip) {
    const int64_t end = first + a.strip < whole_cols ? first + a.strip : whole_cols;
    for (int64_t i = 0; i < whole_rows; i += LANES) {
      const float* from[LANES];
      for (int r = 0; r < LANES; ++r) from[r] = a.src + a.src_offset[i + r];
      for (int64_t j = first; j < end; j += LANES) {
        vec m[LANES];
#pragma GCC unroll 16
        for (int r = 0; r < LANES; ++r) m[r] = load(from[r] + j);
        if (AHEAD) {
#pragma GCC unroll 16
          for (int r = 0; r < LANES; ++r) __builtin_prefetch(from[r] + j + a.ahead, 0, 2);  // not the nearest cache: rows may share its sets
        }
        turn(m);
#pragma GCC unroll 16
        for (int c = 0; c < LANES; ++c) {
          if (a.dst_offset[j + c] < 0) continue;
          if (BYPASS) stream(a.dst + a.dst_offset[j + c] + i, m[c]);
          else store(a.dst + a.dst_offset[j + c] + i, m[c]);
        }
      }
    }
  }
  if (whole_cols < a.cols)
    for (int64_t i = 0; i < whole_rows; i += LANES) edge(a, i, whole_cols, LANES, (int)(a.cols - whole_cols));
  for (int64_t i = whole_rows; i < a.padded_rows; i += LANES) {
    const int rows = i >= a.rows ? 0 : (int)(a.rows - i);
    for (int64_t j = 0; j < a.cols; j += LANES)
      edge(a, i, j, rows, (int)(a.cols - j < LANES ? a.cols - j : LANES));
  }
}

}  // namespace

extern "C" void TAMIS_KERNEL(transpose)(const TransposeArgs* a) {
  if (a->bypass) return transpose_all<false, true>(*a);
  if (a->ahead) return transpose_all<true, false>(*a);
  transpose_all<false, false>(*a);
}
