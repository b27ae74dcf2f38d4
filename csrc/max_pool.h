#pragma once
#include "driver.h"

namespace tamis {

// Dense images as planes of rows x cols places with `lanes` neighbouring floats each: batch-last has a plane for each
// channel and a lane for each image, channels_last the reverse, NCHW one lane.
struct Places {
  int64_t planes, lanes;
};

// y = max pool of x, index = the tap of each maximum (row * tap_cols + col). Both in the layout of x. Every window must
// hold at least one input; taps() <= 256.
void max_pool(const Geometry& g, const Places& places, const float* x, float* y, uint8_t* index, const Level& level,
              const Parallel& parallel);

// grad_x from the gradient of y and `index`. Written completely.
void max_pool_gradient(const Geometry& g, const Places& places, const float* grad, const uint8_t* index, float* grad_x,
                       const Level& level, const Parallel& parallel);

}  // namespace tamis
