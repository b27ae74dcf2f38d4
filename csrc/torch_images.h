#pragma once
// How the torch-facing files see tensors of images: their formats, new ones of a format, and torch's threads.
#include <torch/csrc/stable/tensor.h>

#include <optional>

#include "driver.h"

namespace tamis {

// The order in memory, outermost first; chwn is batch-last.
enum class Format : int64_t { nchw = 0, chwn = 1, nhwc = 2 };

// Whether a 4-d tensor fills its memory in this order without gaps.
bool has_format(const torch::stable::Tensor& t, Format format);

// Tensors that fit several formats (a single image, a single pixel) have one order in memory, and the first that fits counts.
std::optional<Format> format_of(const torch::stable::Tensor& t);

// A new float32 tensor (images, channels, rows, cols) of undefined content. Large ones come from the memory pool.
torch::stable::Tensor fresh(const torch::stable::Tensor& source, Format format, int64_t images, int64_t channels, int64_t rows,
                            int64_t cols);
torch::stable::Tensor fresh_like(const torch::stable::Tensor& source, Format format);

// The same in the format that `source`, in any strides, comes closest to: by what lies innermost.
torch::stable::Tensor like(const torch::stable::Tensor& source, int64_t images, int64_t channels, int64_t rows, int64_t cols);

// A 4-d float32 tensor in any strides, as the drivers see it.
Images images_of(const torch::stable::Tensor& t);

Parallel torch_threads();

}  // namespace tamis
