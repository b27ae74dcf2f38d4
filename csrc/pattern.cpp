#include "pattern.h"

#include <climits>
#include <cstddef>

namespace tamis {
namespace {

int64_t modulo(int64_t a, int64_t b) { return (a % b + b) % b; }

// Phase of the input that each tap reads.
std::vector<int64_t> phases_of_taps(const Geometry& g) {
  std::vector<int64_t> phases;
  for (int64_t i = 0; i < g.tap_rows; ++i)
    for (int64_t j = 0; j < g.tap_cols; ++j)
      phases.push_back(modulo(i * g.dilation_rows - g.pad_top, g.stride_rows) * g.stride_cols +
                       modulo(j * g.dilation_cols - g.pad_left, g.stride_cols));
  return phases;
}

}  // namespace

bool rows_rise(const int64_t* row_ptr, int64_t rows, int64_t nnz) {
  if (rows < 0 || row_ptr[0] != 0 || row_ptr[rows] != nnz) return false;
  for (int64_t r = 0; r < rows; ++r)
    if (row_ptr[r] > row_ptr[r + 1]) return false;
  return true;
}

bool all_below(const int32_t* indices, int64_t count, int64_t limit) {
  if (limit > int64_t(INT_MAX) + 1) return false;
  // A sum of sign bits instead of a branch per index, so that the loop becomes SIMD.
  const uint32_t last = uint32_t(limit - 1);
  uint32_t bad = limit <= 0 && count > 0;
  for (int64_t k = 0; k < count; ++k) bad |= uint32_t(indices[k]) | (last - uint32_t(indices[k]));
  return limit <= 0 ? !bad : bad <= uint32_t(INT_MAX);
}

void transpose_weights(const Geometry& g, const Weights& w, int64_t rows, int64_t channels, int64_t* row_ptr,
                       int32_t* indices, int32_t* source) {
  const std::vector<int64_t> phases = phases_of_taps(g);
  const int64_t taps = g.taps(), outputs = rows / g.groups, inputs = channels / g.groups, targets = g.phases() * channels;
  const auto target = [&](int64_t row, int64_t index) {
    return phases[std::size_t(index % taps)] * channels + row / outputs * inputs + index / taps;
  };
  for (int64_t t = 0; t <= targets; ++t) row_ptr[t] = 0;
  for (int64_t o = 0; o < rows; ++o)
    for (int64_t k = w.row_ptr[o]; k < w.row_ptr[o + 1]; ++k) ++row_ptr[target(o, w.indices[k]) + 1];
  for (int64_t t = 0; t < targets; ++t) row_ptr[t + 1] += row_ptr[t];
  // Rows and their indices ascend, so each target fills in ascending order.
  std::vector<int64_t> next(row_ptr, row_ptr + targets);
  for (int64_t o = 0; o < rows; ++o)
    for (int64_t k = w.row_ptr[o]; k < w.row_ptr[o + 1]; ++k) {
      const int64_t at = next[std::size_t(target(o, w.indices[k]))]++;
      indices[at] = int32_t(o % outputs * taps + w.indices[k] % taps);
      source[at] = int32_t(k);
    }
}

}  // namespace tamis
