#include "problem.h"

namespace tamis {
namespace {

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

}  // namespace

Product forward_product(const Geometry& g, const Images& x, const Images& y) {
  Product p{x, y, g.stride_rows, g.stride_cols, 1, 1, g.groups, g.taps(), {}};
  Phase phase{0, 0, g.out_rows, g.out_cols, 0, {}};
  for (int64_t i = 0; i < g.tap_rows; ++i)
    for (int64_t j = 0; j < g.tap_cols; ++j) {
      const int64_t row = i * g.dilation_rows - g.pad_top, col = j * g.dilation_cols - g.pad_left;
      const int64_t row_shift = floor_div(row, g.stride_rows), col_shift = floor_div(col, g.stride_cols);
      phase.taps.push_back({true, row_shift, col_shift, row - row_shift * g.stride_rows, col - col_shift * g.stride_cols});
    }
  p.phases.push_back(phase);
  return p;
}

// Input row r receives from output row o through tap i where r = o * stride + i * dilation - pad. Writing
// i * dilation - pad = stride * m + f, only rows r = f + stride * a are touched, from o = a - m.
Product input_gradient_product(const Geometry& g, const Images& grad_y, const Images& grad_x) {
  Product p{grad_y, grad_x, 1, 1, g.stride_rows, g.stride_cols, g.groups, g.taps(), {}};
  for (int64_t row_phase = 0; row_phase < g.stride_rows; ++row_phase)
    for (int64_t col_phase = 0; col_phase < g.stride_cols; ++col_phase) {
      const int64_t rows = floor_div(g.in_rows - row_phase + g.stride_rows - 1, g.stride_rows);
      const int64_t cols = floor_div(g.in_cols - col_phase + g.stride_cols - 1, g.stride_cols);
      Phase phase{row_phase, col_phase, rows, cols, (row_phase * g.stride_cols + col_phase) * grad_x.channels, {}};
      for (int64_t i = 0; i < g.tap_rows; ++i)
        for (int64_t j = 0; j < g.tap_cols; ++j) {
          const int64_t row = i * g.dilation_rows - g.pad_top, col = j * g.dilation_cols - g.pad_left;
          const int64_t m = floor_div(row, g.stride_rows), n = floor_div(col, g.stride_cols);
          const bool used = row - m * g.stride_rows == row_phase && col - n * g.stride_cols == col_phase;
          phase.taps.push_back({used, -m, -n, 0, 0});
        }
      if (rows > 0 && cols > 0) p.phases.push_back(phase);
    }
  return p;
}

}  // namespace tamis
