#pragma once
#include <stdint.h>

// Contracts of the max pool kernels. `places` destinations of `length` neighbouring floats each; one place lies `step` floats
// behind the other in source and destination. Numbers of taps are bytes: a pool has at most 256.

// out[p][i] = max over t of src[p][offset[t] + i]; index[p][i] = number[t] of the first tap that has it. Where NaN occurs the
// result is NaN and the index that of the last one (both as torch does).
struct MaxPoolArgs {
  const float* src;
  const int64_t* offset;  // [taps], at least one
  const uint8_t* number;  // [taps]
  float* out;
  uint8_t* index;
  int64_t places, src_step, out_step, length;
  int32_t taps;
};

// out[p][i] = sum over t of (index[p][offset[t] + i] == number[t] ? grad[p][offset[t] + i] : 0), in ascending t
struct MaxPoolGradientArgs {
  const float* grad;
  const uint8_t* index;
  const int64_t* offset;
  const uint8_t* number;
  float* out;
  int64_t places, grad_step, out_step, length;
  int32_t taps;
};

typedef void (*maxpool_fn)(const MaxPoolArgs*);
typedef void (*maxpool_gradient_fn)(const MaxPoolGradientArgs*);
