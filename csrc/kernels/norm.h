#pragma once
#include <stdint.h>

// Contract of the batch norm kernel (kernels/norm.cpp), one call per step and piece of a channel.
//
// Two shapes of a piece. Narrow: `runs` stretches of `length` floats, `run_step` apart, all of one channel; constants and
// sums are single numbers. Wide: `runs` rows of `length` positions with constants and sums for each position (channels
// innermost, or pictures smaller than a vector).
enum NormStep { NORM_MOMENTS = 0, NORM_APPLY = 1, NORM_SUMS = 2, NORM_GRADIENT = 3 };
enum NormActivation { ACTIVATION_NONE = 0, ACTIVATION_RELU = 1, ACTIVATION_RELU6 = 2 };
enum NormMask { MASK_NONE = 0, MASK_FROM_Y = 1, MASK_FROM_Z = 2 };

// v(y) = (y - center) * scale + shift
// MOMENTS:  out = a finite value near the mean of y; sums[0] = sum(y - out), sums[1] = sum((y - out)^2)
// APPLY:    out = activation(v(y) + other), `other` may be null
// SUMS:     g = grad where the activation let v(y) (MASK_FROM_Y) or other (MASK_FROM_Z) through, else 0;
//           sums[0] = sum(g), sums[1] = sum(g * (y - center)); out = g unless out is null
// GRADIENT: out = scale * g + slope * (y - center) + level, with g as above, MASK_NONE or MASK_FROM_Y
// The second sums lie `sums_step` after the first. Sums of one call are float32: MOMENTS and SUMS want small pieces.
struct NormArgs {
  const float* y;
  const float* grad;
  const float* other;
  float* out;
  const float* center;
  const float* scale;
  const float* shift;
  const float* slope;
  const float* level;
  double* sums;
  int64_t sums_step;
  int64_t runs, run_step, length;
  int32_t step, wide, activation, mask;
  int32_t bypass;  // narrow APPLY and GRADIENT: out goes past the caches, and the caller makes a store fence
};

typedef void (*norm_fn)(const NormArgs*);
