#pragma once
#include "driver.h"

namespace tamis {

// A dense tensor as (outer, channels, inner) floats without gaps: NCHW is (N, C, HW), batch-last (1, C, HWN),
// channels_last (NHW, C, 1).
struct Planes {
  int64_t outer, channels, inner;
  int64_t per_channel() const { return outer * inner; }
  int64_t total() const { return outer * channels * inner; }
};

// What the backward pass and the running statistics need, one row of `channels` floats each.
enum NormStats { STATS_CENTER, STATS_SCALE, STATS_SHIFT, STATS_INVSTD, STATS_OFFSET, STATS_MEAN, STATS_VARIANCE, STATS_ROWS };

// z = activation(gamma * (y - mean) / sqrt(variance + eps) + beta + residual), all tensors in one layout.
// gamma, beta and residual may be null. With mean and variance null those of the batch are taken, and `stats` receives the
// mean and the unbiased variance. STATS_OFFSET is mean - center, which a float32 center cannot hold.
struct NormForward {
  Planes planes;
  const float *y, *residual, *gamma, *beta, *mean, *variance;
  double eps;
  NormActivation activation;
  float *z, *stats;
};
void norm_forward(const NormForward& f, const Level& level, const Parallel& parallel);

// Gradients of norm_forward. `z` is read when `mask` is MASK_FROM_Z. Each of grad_y, grad_residual, grad_gamma, grad_beta
// may be null; grad_residual is the gradient behind the activation. `batch_statistics`: mean and variance depended on y.
struct NormBackward {
  Planes planes;
  const float *grad, *y, *z, *stats;
  NormActivation activation;
  NormMask mask;
  bool batch_statistics;
  float *grad_y, *grad_residual, *grad_gamma, *grad_beta;
};
void norm_backward(const NormBackward& b, const Level& level, const Parallel& parallel);

}  // namespace tamis
