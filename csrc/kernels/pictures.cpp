// Copies pictures whose rows are too short for a call each, between a tensor and a panel. See PicturesArgs. A row is copied in
// pieces of the widest vector that fits into it; the last piece overlaps the one before, so there is no loop over single
// floats: a row of 14 floats is two pieces of eight, one of 56 four pieces of 16 with 16 lanes.
#include "simd.h"

namespace {

template <int N>
struct Floats {
  typedef float type __attribute__((vector_size(N * 4), aligned(4), may_alias));
};

template <int N>
TAMIS_INLINE void copy(const float* from, float* to) {
  *(typename Floats<N>::type*)to = *(const typename Floats<N>::type*)from;
}

template <int N, bool AHEAD>
void copy_rows(const PicturesArgs& a) {
  for (int64_t c = 0; c < a.channels; ++c)
    for (int64_t r = 0; r < a.rows; ++r) {
      const float* const from = a.src + c * a.src_channel_step + r * a.src_row_step;
      float* const to = a.dst + c * a.dst_channel_step + r * a.dst_row_step;
      int64_t i = 0;
      for (; i + N <= a.cols; i += N) {
        if (AHEAD) __builtin_prefetch(from + i + a.ahead);
        copy<N>(from + i, to + i);
      }
      if (i < a.cols) copy<N>(from + a.cols - N, to + a.cols - N);
    }
}

template <int N>
void copy_rows(const PicturesArgs& a) {
  if (a.ahead) copy_rows<N, true>(a);
  else copy_rows<N, false>(a);
}

typedef int32_t ints __attribute__((vector_size(LANES * 4)));
TAMIS_INLINE vec every_other(const float* from) {
  const vec a = load(from), b = load(from + LANES);
#if LANES == 4
  return __builtin_shuffle(a, b, (ints){0, 2, 4, 6});
#elif LANES == 8
  return __builtin_shuffle(a, b, (ints){0, 2, 4, 6, 8, 10, 12, 14});
#else
  return __builtin_shuffle(a, b, (ints){0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30});
#endif
}

// Every second float. A vector's worth of results reads one float more than it wants, so the last result comes by itself.
void pick_rows(const PicturesArgs& a) {
  const int64_t most = a.cols - 1;
  for (int64_t c = 0; c < a.channels; ++c)
    for (int64_t r = 0; r < a.rows; ++r) {
      const float* const from = a.src + c * a.src_channel_step + r * a.src_row_step;
      float* const to = a.dst + c * a.dst_channel_step + r * a.dst_row_step;
      if (a.ahead)
        for (int64_t i = 0; i < 2 * a.cols; i += 16) __builtin_prefetch(from + i + a.ahead, 0, 2);
      int64_t i = 0;
      if (most >= LANES) {
        for (; i + LANES <= most; i += LANES) store(to + i, every_other(from + 2 * i));
        store(to + most - LANES, every_other(from + 2 * (most - LANES)));
        i = most;
      }
      for (; i < a.cols; ++i) to[i] = from[2 * i];
    }
}

}  // namespace

extern "C" void TAMIS_KERNEL(pictures)(const PicturesArgs* a) {
  if (a->src_col_step == 2) return pick_rows(*a);
#if LANES > 8
  if (a->cols >= 16) return copy_rows<16>(*a);
#endif
#if LANES > 4
  if (a->cols >= 8) return copy_rows<8>(*a);
#endif
  if (a->cols >= 4) return copy_rows<4>(*a);
  if (a->cols >= 2) return copy_rows<2>(*a);
  copy_rows<1>(*a);
}
