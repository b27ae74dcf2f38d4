// The gradient of the live weights: each is the dot product of its output channel's gradient with a shifted panel. The
// gradient tile stays in registers while the weights of its channel pass by; LANES sums are reduced at a time.
#include "simd.h"

namespace {

typedef int32_t ints __attribute__((vector_size(LANES * 4)));

// Sums neighbouring pairs: the result holds sums of a and sums of b, four floats at a time.
TAMIS_INLINE vec pair_sums(vec a, vec b) {
#if LANES == 4
  return __builtin_shuffle(a, b, (ints){0, 2, 4, 6}) + __builtin_shuffle(a, b, (ints){1, 3, 5, 7});
#elif LANES == 8
  return __builtin_shuffle(a, b, (ints){0, 2, 8, 10, 4, 6, 12, 14}) +
         __builtin_shuffle(a, b, (ints){1, 3, 9, 11, 5, 7, 13, 15});
#else
  return __builtin_shuffle(a, b, (ints){0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30}) +
         __builtin_shuffle(a, b, (ints){1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31});
#endif
}

// Float j of the result is the sum over the LANES floats of s[j].
TAMIS_INLINE vec sums_of(const vec* s) {
  vec quad[LANES / 4];
#pragma GCC unroll 4
  for (int i = 0; i < LANES / 4; ++i)
    quad[i] = pair_sums(pair_sums(s[4 * i], s[4 * i + 1]), pair_sums(s[4 * i + 2], s[4 * i + 3]));
#if LANES == 4
  return quad[0];
#elif LANES == 8
  return __builtin_shuffle(quad[0], quad[1], (ints){0, 1, 2, 3, 8, 9, 10, 11}) +
         __builtin_shuffle(quad[0], quad[1], (ints){4, 5, 6, 7, 12, 13, 14, 15});
#else
  vec half[2];
  for (int i = 0; i < 2; ++i)
    half[i] = __builtin_shuffle(quad[2 * i], quad[2 * i + 1],
                                (ints){0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23}) +
              __builtin_shuffle(quad[2 * i], quad[2 * i + 1],
                                (ints){8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31});
  return __builtin_shuffle(half[0], half[1], (ints){0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27}) +
         __builtin_shuffle(half[0], half[1], (ints){4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31});
#endif
}

template <int ROWS, int VECTORS>
TAMIS_INLINE vec product_sum(const vec* grad, const float* x, int64_t step) {
  vec even = grad[0] * load(x);
  vec odd = {};
#pragma GCC unroll 32
  for (int i = 1; i < ROWS * VECTORS; ++i) {
    const vec p = load(x + (i / VECTORS) * step + (i % VECTORS) * LANES);
    if (i % 2) odd += grad[i] * p;
    else even += grad[i] * p;
  }
  return even + odd;
}

template <int ROWS, int VECTORS>
void dot_tile(const DotArgs& a) {
  for (int64_t r = 0; r < a.channels; ++r) {
    int64_t k = a.cursor[r];
    int64_t end = k;
    while (end < a.row_end[r] && a.indices[end] < a.limit) ++end;
    a.next_cursor[r] = end;
    if (k == end) continue;
    vec grad[ROWS * VECTORS];
    const float* const g = a.grad + r * a.grad_channel_step;
#pragma GCC unroll 32
    for (int i = 0; i < ROWS * VECTORS; ++i) grad[i] = load(g + (i / VECTORS) * a.grad_row_step + (i % VECTORS) * LANES);
    vec sums[LANES];
    for (; k + LANES <= end; k += LANES) {
      for (int j = 0; j < LANES; ++j)
        sums[j] = product_sum<ROWS, VECTORS>(grad, a.panel + a.table[a.indices[k + j]], a.panel_row_step);
      store(a.grad_values + k, load(a.grad_values + k) + sums_of(sums));
    }
    if (k < end) {
      const int left = (int)(end - k);
      for (int j = 0; j < left; ++j)
        sums[j] = product_sum<ROWS, VECTORS>(grad, a.panel + a.table[a.indices[k + j]], a.panel_row_step);
      for (int j = left; j < LANES; ++j) sums[j] = (vec){};
      const vec total = sums_of(sums);
      for (int j = 0; j < left; ++j) a.grad_values[k + j] += total[j];
    }
  }
}

template <int ROWS, int VECTORS>
struct Pick {
  static void run(const DotArgs& a) {
    if (a.vectors == VECTORS) return dot_tile<ROWS, VECTORS>(a);
    Pick<ROWS, VECTORS - 1>::run(a);
  }
};
template <int ROWS>
struct Pick<ROWS, 0> {
  static void run(const DotArgs&) {}
};

}  // namespace

extern "C" void TAMIS_KERNEL(dot)(const DotArgs* a) {
  switch (a->rows) {
    case 1: return Pick<1, TAMIS_MAX_DOT>::run(*a);
    case 2: return Pick<2, TAMIS_MAX_DOT / 2>::run(*a);
    case 3: return Pick<3, TAMIS_MAX_DOT / 3>::run(*a);
    case 4: return Pick<4, TAMIS_MAX_DOT / 4>::run(*a);
    case 5: return Pick<5, TAMIS_MAX_DOT / 5>::run(*a);
    case 6: return Pick<6, TAMIS_MAX_DOT / 6>::run(*a);
    case 7: return Pick<7, TAMIS_MAX_DOT / 7>::run(*a);
    default: return Pick<8, TAMIS_MAX_DOT / 8>::run(*a);
  }
}
