#pragma once
// How the torch-facing files see a tensor of images: which of the three dense formats it has, and a new one like it.
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>

#include "driver.h"

namespace tamis {

using torch::stable::Tensor;

// The order in memory, outermost first. Tensors that fit several (a single image, a single pixel) have one order in memory,
// and the first that fits is taken.
enum class Format : int64_t { nchw = 0, chwn = 1, nhwc = 2 };

inline bool has_format(const Tensor& t, Format format) {
  static constexpr int order[3][4] = {{0, 1, 2, 3}, {1, 2, 3, 0}, {0, 2, 3, 1}};
  int64_t expected = 1;
  for (int i = 3; i >= 0; --i) {
    const int d = order[int64_t(format)][i];
    if (t.size(d) != 1 && t.stride(d) != expected) return false;
    expected *= t.size(d);
  }
  return true;
}

inline std::optional<Format> format_of(const Tensor& t) {
  for (Format f : {Format::nchw, Format::chwn, Format::nhwc})
    if (has_format(t, f)) return f;
  return std::nullopt;
}

// A new float32 tensor (images, channels, rows, cols) of a format. The only place where these operations allocate results.
inline Tensor fresh(const Tensor& source, Format format, int64_t images, int64_t channels, int64_t rows, int64_t cols) {
  using torch::stable::transpose;
  if (format == Format::nchw) return torch::stable::new_empty(source, {images, channels, rows, cols});
  const bool chwn = format == Format::chwn;
  Tensor memory = chwn ? torch::stable::new_empty(source, {channels, rows, cols, images})
                       : torch::stable::new_empty(source, {images, rows, cols, channels});
  Tensor nhwc = chwn ? transpose(memory, 0, 3) : memory;
  Tensor ncwh = transpose(nhwc, 1, 3);
  return transpose(ncwh, 2, 3);
}

inline Tensor fresh_like(const Tensor& source, Format format) {
  return fresh(source, format, source.size(0), source.size(1), source.size(2), source.size(3));
}

inline Parallel torch_threads() {
  return {int64_t(torch::stable::get_num_threads()),
          [](int64_t tasks, void* context, void (*body)(void*, int64_t, int64_t)) {
            torch::stable::parallel_for(0, tasks, 1, [=](int64_t begin, int64_t end) { body(context, begin, end); });
          }};
}

}  // namespace tamis
