// The product of a sparse weight with a packed panel; used forward and, with the transposed pattern, for the gradient
// of the input. See MultiplyArgs for the contract.
#include "simd.h"

namespace {

// Where vector i of a tile begins, in floats.
template <int ROWS, int VECTORS>
TAMIS_INLINE int64_t start_of(int i, int64_t row_step, int64_t last) {
  if (ROWS == 1 && VECTORS > 1 && i == VECTORS - 1) return last;
  return (i / VECTORS) * row_step + (i % VECTORS) * LANES;
}

template <int ROWS, int VECTORS>
void multiply_tile(const MultiplyArgs& a) {
  const int64_t step = a.panel_row_step, last = a.last;
  const int32_t* const indices = a.indices;
  const int32_t* const table = a.table;
  const float* const values = a.values;
  const int32_t limit = a.limit;
  for (int64_t r = 0; r < a.channels; ++r) {
    int64_t k = a.cursor[r];
    const int64_t end = a.row_end[r];
    float* const out = a.out + r * a.out_channel_step;
    const float* const before = a.before + r * a.out_channel_step;
    vec acc[ROWS * VECTORS];
    if (a.start == START_FROM_BIAS) {
      const vec start = broadcast(a.bias ? a.bias[r] : 0.0f);
#pragma GCC unroll 32
      for (int i = 0; i < ROWS * VECTORS; ++i) acc[i] = start;
    } else {
      if (a.start == START_FROM_OUT && !a.relu && (k >= end || indices[k] >= limit)) {
        a.next_cursor[r] = k;
        continue;
      }
#pragma GCC unroll 32
      for (int i = 0; i < ROWS * VECTORS; ++i) acc[i] = load(before + start_of<ROWS, VECTORS>(i, a.out_row_step, last));
      if (a.start == START_FROM_OUT_AND_BIAS && a.bias) {
        const vec more = broadcast(a.bias[r]);
#pragma GCC unroll 32
        for (int i = 0; i < ROWS * VECTORS; ++i) acc[i] += more;
      }
    }
    for (; k < end; ++k) {
      const int32_t index = indices[k];
      if (index >= limit) break;
      const float* const x = a.panel + table[index];
      const vec w = broadcast(values[k]);
#pragma GCC unroll 32
      for (int i = 0; i < ROWS * VECTORS; ++i) acc[i] += w * load(x + start_of<ROWS, VECTORS>(i, step, last));
    }
    a.next_cursor[r] = k;
    if (a.relu) {
#pragma GCC unroll 32
      for (int i = 0; i < ROWS * VECTORS; ++i) acc[i] = acc[i] <= (vec){} ? (vec){} : acc[i];
    }
#pragma GCC unroll 32
    for (int i = 0; i < ROWS * VECTORS; ++i) store(out + start_of<ROWS, VECTORS>(i, a.out_row_step, last), acc[i]);
  }
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
