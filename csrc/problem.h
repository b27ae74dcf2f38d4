#pragma once
#include <stdint.h>

#include <vector>

namespace tamis {

// A convolution's geometry, in the order of ConvGeometry.as_list in Python.
struct Geometry {
  int64_t in_rows, in_cols, out_rows, out_cols, tap_rows, tap_cols;
  int64_t stride_rows, stride_cols, pad_top, pad_left, dilation_rows, dilation_cols, groups;
  int64_t taps() const { return tap_rows * tap_cols; }
  int64_t phases() const { return stride_rows * stride_cols; }
};

// A batch of images in any strides (in floats).
struct Images {
  float* data;
  int64_t images, channels, rows, cols;
  int64_t image_step, channel_step, row_step, col_step;
};

// Compressed rows of a weight, or of its transpose.
struct Weights {
  const float* values;  // null for the gradient of the weights
  const int64_t* row_ptr;
  const int32_t* indices;
};

// Where one tap of the kernel reads, seen from a destination position (row, col) of the current phase:
// source row = source step * (row + row_shift) + row_phase, and likewise for columns.
struct Tap {
  bool used;
  int64_t row_shift, col_shift, row_phase, col_phase;
};

// The destination positions row_phase + row_step * row, col_phase + col_step * col; a stride splits the input's gradient
// into such phases, the forward pass has one.
struct Phase {
  int64_t row_phase, col_phase, rows, cols;
  int64_t first_weight_row;
  std::vector<Tap> taps;
};

// dst = sparse weights applied to src. Both the forward pass and the gradient of the input are of this form.
struct Product {
  Images src, dst;
  int64_t source_step_rows, source_step_cols, target_step_rows, target_step_cols;
  int64_t groups, taps;
  std::vector<Phase> phases;
};

// The number of floats from the first to the last one of a tensor, both included.
int64_t extent(const Images& t);

Product forward_product(const Geometry& g, const Images& x, const Images& y);
Product input_gradient_product(const Geometry& g, const Images& grad_y, const Images& grad_x);

// Whether each destination pixel is made of the source pixel at the same place and no other.
bool is_pointwise(const Product& p);

// A 1x1 convolution of stride 1 treats all positions of all images alike. Where images lie innermost in both tensors, each
// channel is one long row of positions; this gives the product that form.
Product flatten_pointwise(const Product& p);

}  // namespace tamis
