#pragma once
#include "dispatch.h"
#include "problem.h"
#include "tasks.h"
#include "tiling.h"

namespace tamis {

// What becomes of the sums before they are written: activation(sum + bias + residual).
struct Epilogue {
  const float* bias = nullptr;      // one value per destination channel, or null
  const float* residual = nullptr;  // of the shape and strides of dst, or null
  bool relu = false;
};

// dst = weights * src, and the epilogue. Every destination value is written. Products
// of one output are added in ascending index order, so the result does not depend on layout, batch or threads.
void multiply(const Product& p, const Weights& w, const Epilogue& e, const Level& level, Layout layout,
              const Parallel& parallel);

// grad_values[k] = gradient of every live weight, from the forward product and the gradient of its result (which takes the
// place of dst). Written completely. The order of the sums depends on shapes and instruction set, not on threads. Where
// src is not finite, weights of the same channel that do not read that place may become NaN too.
void weight_gradient(const Product& p, const Weights& w, float* grad_values, const Level& level, Layout layout,
                     const Parallel& parallel);

// Both gradients: dst of `input` = transposed weights `t` * gradient of the result, and grad_values as above. Where both can
// be cut into the same tiles, the gradient of the result is packed once. The order of the sums is as above, but may differ
// from that of weight_gradient.
void gradients(const Product& input, const Weights& t, const Product& forward, const Weights& w, float* grad_values,
               const Level& level, Layout layout, const Parallel& parallel);

}  // namespace tamis
