// Copies pictures whose rows are too short for a call each, between a tensor and a panel. See PicturesArgs. A row is copied in
// pieces of the widest vector that fits into it; the last piece overlaps the one before, so there is no loop over single
// floats: a row of 14 floats is two pieces of eight, one of 56 four pieces of 16 with 16 lanes.
#include "part.h"

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

// The first N of every second float.
template <int N>
struct EveryOther;
template <>
struct EveryOther<4> {
  typedef int32_t ints __attribute__((vector_size(16)));
  typedef float type __attribute__((vector_size(16)));
  static TAMIS_ALWAYS type of(const float* from) {
    const type a = *(const Floats<4>::type*)from, b = *(const Floats<4>::type*)(from + 4);
    return __builtin_shuffle(a, b, (ints){0, 2, 4, 6});
  }
};
#if LANES == 8
template <>
struct EveryOther<8> {
  typedef int32_t ints __attribute__((vector_size(32)));
  static TAMIS_ALWAYS vec of(const float* from) {
    return __builtin_shuffle(load(from), load(from + 8), (ints){0, 2, 4, 6, 8, 10, 12, 14});
  }
};
#elif LANES == 16
template <>
struct EveryOther<16> {
  typedef int32_t ints __attribute__((vector_size(64)));
  static TAMIS_ALWAYS vec of(const float* from) {
    return __builtin_shuffle(load(from), load(from + 16), (ints){0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30});
  }
};
#endif

// Every second float. N results read one float more than they want, so the last result of a row comes by itself.
template <int N>
void pick_rows(const PicturesArgs& a) {
  const int64_t most = a.cols - 1;
  for (int64_t c = 0; c < a.channels; ++c)
    for (int64_t r = 0; r < a.rows; ++r) {
      const float* const from = a.src + c * a.src_channel_step + r * a.src_row_step;
      float* const to = a.dst + c * a.dst_channel_step + r * a.dst_row_step;
      if (a.ahead)
        for (int64_t i = 0; i < 2 * a.cols; i += 16) __builtin_prefetch(from + i + a.ahead, 0, 2);
      for (int64_t i = 0; i + N <= most; i += N) *(typename Floats<N>::type*)(to + i) = EveryOther<N>::of(from + 2 * i);
      *(typename Floats<N>::type*)(to + most - N) = EveryOther<N>::of(from + 2 * (most - N));
      to[most] = from[2 * most];
    }
}

void pick_floats(const PicturesArgs& a) {
  for (int64_t c = 0; c < a.channels; ++c)
    for (int64_t r = 0; r < a.rows; ++r) {
      const float* const from = a.src + c * a.src_channel_step + r * a.src_row_step;
      float* const to = a.dst + c * a.dst_channel_step + r * a.dst_row_step;
      for (int64_t i = 0; i < a.cols; ++i) to[i] = from[2 * i];
    }
}

}  // namespace

extern "C" void TAMIS_KERNEL(pictures)(const PicturesArgs* a) {
  if (a->src_col_step == 2) {
    if (a->cols > LANES) return pick_rows<LANES>(*a);
    if (a->cols > 4) return pick_rows<4>(*a);
    return pick_floats(*a);
  }
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
