#pragma once
#include "driver.h"

namespace tamis {

// Whether a product is a 1x1 convolution of pictures that are one stretch of memory each, in source and destination, at least
// a vector long: then nothing needs to be packed.
bool lies_ready(const Product& p, const TileLimits& limits);

// multiply() for such a product.
void multiply_where_it_lies(const Product& p, const Weights& w, const Epilogue& e, const Level& level, const TileLimits& limits,
                            const Parallel& parallel);

}  // namespace tamis
