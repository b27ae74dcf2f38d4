#pragma once
#include "dispatch.h"
#include "problem.h"
#include "tasks.h"
#include "tiling.h"

namespace tamis {

// dst = weights * src (+ bias, one value per destination channel, or null). Every destination value is written. Products
// of one output are added in ascending index order, so the result does not depend on layout, batch or threads.
void multiply(const Product& p, const Weights& w, const float* bias, const Level& level, Layout layout,
              const Parallel& parallel);

// grad_values[k] = gradient of every live weight, from the forward product and the gradient of its result (which takes the
// place of dst). Written completely. The order of the sums depends on shapes and instruction set, not on threads. Where
// src is not finite, weights of the same channel that do not read that place may become NaN too.
void weight_gradient(const Product& p, const Weights& w, float* grad_values, const Level& level, Layout layout,
                     const Parallel& parallel);

}  // namespace tamis
