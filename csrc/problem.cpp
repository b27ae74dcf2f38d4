#include "problem.h"

namespace tamis {
namespace {

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Whether the images of a channel and then its pixels follow each other without gaps.
bool images_innermost(const Images& t) {
  return t.images > 1 && t.image_step == 1 && (t.cols == 1 || t.col_step == t.images) &&
         (t.rows == 1 || t.row_step == t.images * t.cols);
}

Images one_row(const Images& t) {
  const int64_t places = t.images * t.rows * t.cols;
  return {t.data, 1, t.channels, 1, places, 0, t.channel_step, places, 1};
}

}  // namespace

int64_t extent(const Images& t) {
  if (!t.images || !t.channels || !t.rows || !t.cols) return 0;
  return 1 + (t.images - 1) * t.image_step + (t.channels - 1) * t.channel_step + (t.rows - 1) * t.row_step +
         (t.cols - 1) * t.col_step;
}

bool is_pointwise(const Product& p) {
  return p.taps == 1 && p.phases.size() == 1 && p.source_step_rows == 1 && p.source_step_cols == 1 &&
         p.target_step_rows == 1 && p.target_step_cols == 1 && p.phases[0].taps[0].row_shift == 0 &&
         p.phases[0].taps[0].col_shift == 0 && p.src.rows == p.dst.rows && p.src.cols == p.dst.cols;
}

Product flatten_pointwise(const Product& p) {
  if (!is_pointwise(p) || !images_innermost(p.src) || !images_innermost(p.dst)) return p;
  Product flat = p;
  flat.src = one_row(p.src);
  flat.dst = one_row(p.dst);
  flat.phases[0].rows = 1;
  flat.phases[0].cols = flat.dst.cols;
  return flat;
}

namespace {

// The pixels of x that a 1x1 convolution with a stride reads, as images of their own.
Images every_other(const Images& x, const Geometry& g) {
  return {x.data, x.images, x.channels, g.out_rows, g.out_cols, x.image_step, x.channel_step, x.row_step * g.stride_rows,
          x.col_step * g.stride_cols};
}

bool picks_pixels(const Geometry& g) {
  return g.taps() == 1 && g.phases() > 1 && g.pad_top == 0 && g.pad_left == 0 &&
         (g.out_rows - 1) * g.stride_rows < g.in_rows && (g.out_cols - 1) * g.stride_cols < g.in_cols;
}

}  // namespace

Product forward_product(const Geometry& g, const Images& x, const Images& y) {
  if (picks_pixels(g)) {
    Geometry plain = g;
    plain.in_rows = g.out_rows, plain.in_cols = g.out_cols, plain.stride_rows = plain.stride_cols = 1;
    return forward_product(plain, every_other(x, g), y);
  }
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
