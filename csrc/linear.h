#pragma once
#include "driver.h"

namespace tamis {

// Whether a product is a linear layer of one input, that and the result each one stretch of memory.
bool is_one_vector(const Product& p);

// multiply() for such a product.
void multiply_vector(const Product& p, const Weights& w, const Epilogue& e, const Level& level, const Parallel& parallel);

}  // namespace tamis
