#pragma once
#include <torch/csrc/stable/tensor.h>

#include "problem.h"

namespace tamis {

// A 4-d float32 tensor in any strides, as the drivers see it.
Images images_of(const torch::stable::Tensor& t);

// A (images, channels, rows, cols) tensor of undefined content in the memory format of `source`: images innermost, channels
// innermost, or NCHW. Large ones come from the pool.
torch::stable::Tensor like(const torch::stable::Tensor& source, int64_t images, int64_t channels, int64_t rows, int64_t cols);

}  // namespace tamis
