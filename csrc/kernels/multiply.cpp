// The product of a sparse weight with a packed panel; used forward and, with the transposed pattern, for the gradient
// of the input. See MultiplyArgs for the contract.
//
//   for groups of output channels            one, or as many as make eight sums where a tile has one row of up to four vectors
//     sums = bias, residual or what a former block of source channels left
//     for live weights of the channel(s)     while every channel of the group has one left; then each channel by itself
//       for vectors of the tile              sum += broadcast weight * panel, unrolled, all sums in registers
//     out = sums, negative ones cut off
//
// Each multiply-add loads its panel vector, so two loads a cycle are the bound; a chain of too few sums waits for its own
// results instead. The order of additions of one output is that of its weights, however channels are grouped.
#include "simd.h"

namespace {

// Where vector i of a tile begins, in floats.
template <int ROWS, int VECTORS>
TAMIS_INLINE int64_t start_of(int i, int64_t row_step, int64_t last) {
  if (ROWS == 1 && VECTORS > 1 && i == VECTORS - 1) return last;
  return (i / VECTORS) * row_step + (i % VECTORS) * LANES;
}

template <int ROWS, int VECTORS>
TAMIS_INLINE void begin(const MultiplyArgs& a, int64_t r, vec* acc) {
  if (a.start == START_FROM_BIAS) {
    const vec start = broadcast(a.bias ? a.bias[r] : 0.0f);
#pragma GCC unroll 32
    for (int i = 0; i < ROWS * VECTORS; ++i) acc[i] = start;
    return;
  }
  const float* const before = a.before + r * a.out_channel_step;
#pragma GCC unroll 32
  for (int i = 0; i < ROWS * VECTORS; ++i) acc[i] = load(before + start_of<ROWS, VECTORS>(i, a.out_row_step, a.last));
  if (a.start == START_FROM_OUT_AND_BIAS && a.bias) {
    const vec more = broadcast(a.bias[r]);
#pragma GCC unroll 32
    for (int i = 0; i < ROWS * VECTORS; ++i) acc[i] += more;
  }
}

template <int ROWS, int VECTORS>
TAMIS_INLINE void add(float value, const float* x, int64_t step, int64_t last, vec* acc) {
  const vec w = broadcast(value);
#pragma GCC unroll 32
  for (int i = 0; i < ROWS * VECTORS; ++i) acc[i] += w * load(x + start_of<ROWS, VECTORS>(i, step, last));
}

template <int ROWS, int VECTORS>
TAMIS_INLINE void finish(const MultiplyArgs& a, int64_t r, vec* acc) {
  if (a.relu) {
#pragma GCC unroll 32
    for (int i = 0; i < ROWS * VECTORS; ++i) acc[i] = acc[i] <= (vec){} ? (vec){} : acc[i];
  }
  float* const out = a.out + r * a.out_channel_step;
#pragma GCC unroll 32
  for (int i = 0; i < ROWS * VECTORS; ++i) store(out + start_of<ROWS, VECTORS>(i, a.out_row_step, a.last), acc[i]);
}

// Output channels one after the other, from `r` on.
template <int ROWS, int VECTORS>
TAMIS_INLINE void one_by_one(const MultiplyArgs& a, int64_t r) {
  const int64_t step = a.panel_row_step, last = a.last;
  const int32_t* const indices = a.indices;
  const int32_t* const table = a.table;
  const float* const values = a.values;
  const int32_t limit = a.limit;
  for (; r < a.channels; ++r) {
    int64_t k = a.cursor[r];
    const int64_t end = a.row_end[r];
    if (a.start == START_FROM_OUT && !a.relu && (k >= end || indices[k] >= limit)) {
      a.next_cursor[r] = k;
      continue;
    }
    vec acc[ROWS * VECTORS];
    begin<ROWS, VECTORS>(a, r, acc);
    for (; k < end; ++k) {
      const int32_t index = indices[k];
      if (index >= limit) break;
      add<ROWS, VECTORS>(values[k], a.panel + table[index], step, last, acc);
    }
    a.next_cursor[r] = k;
    finish<ROWS, VECTORS>(a, r, acc);
  }
}

// CHANNELS neighbouring output channels at the same time, as far as all of them have weights, then each by itself.
template <int ROWS, int VECTORS, int CHANNELS>
TAMIS_INLINE void together(const MultiplyArgs& a, int64_t r) {
  const int64_t step = a.panel_row_step, last = a.last;
  const int32_t* const table = a.table;
  const float* const panel = a.panel;
  const int32_t limit = a.limit;
  vec acc[CHANNELS][ROWS * VECTORS];
  const int32_t* index[CHANNELS];
  const float* value[CHANNELS];
  int64_t common = INT64_MAX, done = 0;
#pragma GCC unroll 8
  for (int c = 0; c < CHANNELS; ++c) {
    begin<ROWS, VECTORS>(a, r + c, acc[c]);
    const int64_t k = a.cursor[r + c], length = a.row_end[r + c] - k;
    index[c] = a.indices + k, value[c] = a.values + k;
    common = length < common ? length : common;
  }
  for (; done < common; ++done) {
    int32_t largest = index[0][done];
#pragma GCC unroll 8
    for (int c = 1; c < CHANNELS; ++c) largest = index[c][done] > largest ? index[c][done] : largest;
    if (largest >= limit) break;
#pragma GCC unroll 8
    for (int c = 0; c < CHANNELS; ++c)
      add<ROWS, VECTORS>(value[c][done], panel + table[index[c][done]], step, last, acc[c]);
  }
#pragma GCC unroll 8
  for (int c = 0; c < CHANNELS; ++c) {
    int64_t k = a.cursor[r + c] + done;
    const int64_t end = a.row_end[r + c];
    for (; k < end; ++k) {
      const int32_t next = a.indices[k];
      if (next >= limit) break;
      add<ROWS, VECTORS>(a.values[k], panel + table[next], step, last, acc[c]);
    }
    a.next_cursor[r + c] = k;
    finish<ROWS, VECTORS>(a, r + c, acc[c]);
  }
}

// A multiply-add waits for the one before on the same sum, about four cycles; it takes eight sums to start two a cycle. Small
// tiles of one row get them from several output channels.
constexpr int sums_wanted = 8;

template <int ROWS, int VECTORS>
void multiply_tile(const MultiplyArgs& a) {
  constexpr int channels = ROWS == 1 && VECTORS <= 4 ? sums_wanted / VECTORS : 1;
  int64_t r = 0;
  if (channels > 1)
    for (; r + channels <= a.channels; r += channels) together<ROWS, VECTORS, channels>(a, r);
  one_by_one<ROWS, VECTORS>(a, r);
}

// Finds the instance for a runtime number of vectors by counting down at compile time.
template <int ROWS, int VECTORS>
struct Pick {
  static void run(const MultiplyArgs& a) {
    if (a.vectors == VECTORS) return multiply_tile<ROWS, VECTORS>(a);
    Pick<ROWS, VECTORS - 1>::run(a);
  }
};
template <int ROWS>
struct Pick<ROWS, 0> {
  static void run(const MultiplyArgs&) {}
};

}  // namespace

extern "C" void TAMIS_KERNEL(multiply)(const MultiplyArgs* a) {
  switch (a->rows) {
    case 1: return Pick<1, TAMIS_MAX_MULTIPLY>::run(*a);
    case 2: return Pick<2, TAMIS_MAX_MULTIPLY / 2>::run(*a);
    case 3: return Pick<3, TAMIS_MAX_MULTIPLY / 3>::run(*a);
    case 4: return Pick<4, TAMIS_MAX_MULTIPLY / 4>::run(*a);
    case 5: return Pick<5, TAMIS_MAX_MULTIPLY / 5>::run(*a);
    case 6: return Pick<6, TAMIS_MAX_MULTIPLY / 6>::run(*a);
    case 7: return Pick<7, TAMIS_MAX_MULTIPLY / 7>::run(*a);
    default: return Pick<8, TAMIS_MAX_MULTIPLY / 8>::run(*a);
  }
}
