// The product of a sparse weight with one vector; a linear layer of one input. See VectorArgs for the contract.
//
//   for groups of four rows, longest first
//     for live weights of the rows        as far as four, then three, two and one of them reach
//       sums[row] += weight * x[index]
//
// Nothing here is a SIMD vector: what a weight reads lies anywhere, and gathers are no faster than loads. A sum waits about
// four cycles for the one before; four rows at once hide that (eight were no faster), and then three loads a weight are the bound. The order of
// additions of one row is that of its weights, as in multiply.cpp, so that both give the same bits.
#include "simd.h"

namespace {

constexpr int AT_ONCE = 4;

struct Row {
  const float* values;
  const int32_t* indices;
  int64_t length, number;
};

// Hides where a sum comes from. A compiler that turns the loop of one row into vectors would round products before it adds
// them, which the fused multiply-adds of multiply.cpp do not.
TAMIS_INLINE void hide(float& sum) {
#if defined(__aarch64__)
  asm("" : "+w"(sum));
#elif defined(__x86_64__)
  asm("" : "+x"(sum));
#endif
}

template <int ROWS>
TAMIS_INLINE void add(const Row* row, const float* x, int64_t from, int64_t to, float* sums) {
  float acc[ROWS];
  for (int r = 0; r < ROWS; ++r) acc[r] = sums[r];
  for (int64_t k = from; k < to; ++k)
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; ++r) {
      acc[r] += row[r].values[k] * x[row[r].indices[k]];
      hide(acc[r]);
    }
  for (int r = 0; r < ROWS; ++r) sums[r] = acc[r];
}

// Rows first, ..., first + count - 1; returns them longest first.
TAMIS_INLINE void take_rows(const VectorArgs& a, int64_t first, int count, Row* rows) {
  for (int i = 0; i < count; ++i) {
    const int64_t begin = a.row_ptr[first + i];
    const Row row{a.values + begin, a.indices + begin, a.row_ptr[first + i + 1] - begin, first + i};
    int place = i;
    for (; place > 0 && rows[place - 1].length < row.length; --place) rows[place] = rows[place - 1];
    rows[place] = row;
  }
}

}  // namespace

extern "C" void TAMIS_KERNEL(vector)(const VectorArgs* args) {
  const VectorArgs a = *args;
  for (int64_t first = 0; first < a.rows; first += AT_ONCE) {
    const int count = int(a.rows - first < AT_ONCE ? a.rows - first : AT_ONCE);
    Row rows[AT_ONCE] = {};
    float sums[AT_ONCE] = {};
    take_rows(a, first, count, rows);
    for (int i = 0; i < count; ++i) {
      const int64_t r = rows[i].number;
      sums[i] = a.before ? a.before[r] : a.bias ? a.bias[r] : 0.0f;
      if (a.before && a.bias) sums[i] += a.bias[r];
    }
    // Rows that are not there have no weights.
    add<4>(rows, a.x, 0, rows[3].length, sums);
    add<3>(rows, a.x, rows[3].length, rows[2].length, sums);
    add<2>(rows, a.x, rows[2].length, rows[1].length, sums);
    add<1>(rows, a.x, rows[1].length, rows[0].length, sums);
    for (int i = 0; i < count; ++i) a.out[rows[i].number] = a.relu && sums[i] <= 0 ? 0.0f : sums[i];
  }
}
