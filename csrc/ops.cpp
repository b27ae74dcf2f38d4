// The only native file that sees torch: registration through the stable ABI, checks, torch's own thread pool.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <atomic>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "driver.h"
#include "pattern.h"
#include "memory_pool.h"
#include "reorder.h"
#include "scratch.h"
#include "torch_images.h"

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

namespace {

using namespace tamis;

Geometry geometry_of(const std::vector<int64_t>& g) {
  STD_TORCH_CHECK(g.size() == 13, "tamis: geometry must have 13 integers");
  Geometry r{g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11], g[12]};
  // The bound keeps every sum and product of two of them inside 64 bits.
  constexpr int64_t most = int64_t(1) << 31;
  for (int64_t n : g) STD_TORCH_CHECK(n > -most && n < most, "tamis: geometry out of range");
  STD_TORCH_CHECK(r.stride_rows > 0 && r.stride_cols > 0 && r.groups > 0 && r.tap_rows > 0 && r.tap_cols > 0 &&
                      r.dilation_rows > 0 && r.dilation_cols > 0 && r.in_rows >= 0 && r.in_cols >= 0 && r.out_rows >= 0 &&
                      r.out_cols >= 0 && r.taps() < most && r.phases() < most,
                  "tamis: geometry out of range");
  return r;
}

Layout layout_of(int64_t layout) {
  STD_TORCH_CHECK(layout >= 0 && layout <= 2, "tamis: layout must be 0 (automatic), 1 (columns) or 2 (images)");
  return static_cast<Layout>(layout);
}

void check(const Tensor& t, ScalarType type, int64_t length, const char* what) {
  STD_TORCH_CHECK(t.scalar_type() == type && t.dim() == 1 && t.is_contiguous() && (length < 0 || t.numel() == length),
                  "tamis: ", what, " has the wrong type, layout or length");
}

// `row_length` is the number of weights that one row would have if all lived. The kernels follow row_ptr and indices
// blindly, so both are checked on every call: one pass over integers that the kernels read next anyway.
Weights weights_of(const Tensor* values, const Tensor& row_ptr, const Tensor& indices, int64_t rows, int64_t row_length) {
  check(row_ptr, ScalarType::Long, rows + 1, "row_ptr");
  check(indices, ScalarType::Int, -1, "indices");
  if (values) check(*values, ScalarType::Float, indices.numel(), "values");
  const auto* ptr = static_cast<const int64_t*>(row_ptr.const_data_ptr());
  const auto* index = static_cast<const int32_t*>(indices.const_data_ptr());
  STD_TORCH_CHECK(rows_rise(ptr, rows, indices.numel()), "tamis: row_ptr does not rise from 0 to the number of indices");
  std::atomic<bool> inside{true};
  run_pieces(torch_threads(), indices.numel(), [&](int64_t begin, int64_t end) {
    if (!all_below(index + begin, end - begin, row_length)) inside = false;
  });
  STD_TORCH_CHECK(inside, "tamis: an index lies outside its row of ", row_length, " weights");
  return {values ? static_cast<const float*>(values->const_data_ptr()) : nullptr, ptr, index};
}

// activation(convolution + bias + residual); the residual has the shape and strides of the result.
Tensor conv_forward(const Tensor& x, const Tensor& values, const std::optional<Tensor>& bias, const Tensor& row_ptr,
                    const Tensor& indices, std::vector<int64_t> geometry, int64_t layout,
                    const std::optional<Tensor>& residual, bool relu) {
  const Geometry g = geometry_of(geometry);
  const int64_t channels = row_ptr.numel() - 1;
  STD_TORCH_CHECK(x.dim() == 4 && x.size(2) == g.in_rows && x.size(3) == g.in_cols && x.size(1) % g.groups == 0 &&
                      channels % g.groups == 0,
                  "tamis: the input does not fit the geometry");
  const Weights w = weights_of(&values, row_ptr, indices, channels, x.size(1) / g.groups * g.taps());
  if (bias) check(*bias, ScalarType::Float, channels, "bias");
  Tensor y = like(x, x.size(0), channels, g.out_rows, g.out_cols);
  Epilogue e;
  e.relu = relu;
  if (bias) e.bias = static_cast<const float*>(bias->const_data_ptr());
  if (residual) {
    bool fits = residual->dim() == 4 && residual->scalar_type() == ScalarType::Float;
    const bool empty = y.numel() == 0;  // then strides mean nothing
    for (int64_t d = 0; fits && d < 4; ++d)
      fits = residual->size(d) == y.size(d) && (empty || y.size(d) == 1 || residual->stride(d) == y.stride(d));
    STD_TORCH_CHECK(fits, "tamis: the residual has another type, shape or format than the result");
    e.residual = static_cast<const float*>(residual->const_data_ptr());
  }
  multiply(forward_product(g, images_of(x), images_of(y)), w, e, level(), layout_of(layout), torch_threads());
  return y;
}

// Weights in the order that the gradient of the input wants, in memory that stays until the thread's next call.
Weights transposed_weights(const Geometry& g, const Tensor& grad, const Tensor& values, const Tensor& row_ptr,
                           const Tensor& indices, const Tensor& source, int64_t channels) {
  STD_TORCH_CHECK(grad.dim() == 4 && grad.size(2) == g.out_rows && grad.size(3) == g.out_cols && channels >= 0 &&
                      grad.size(1) % g.groups == 0 && channels % g.groups == 0,
                  "tamis: the gradient does not fit the geometry");
  check(source, ScalarType::Int, indices.numel(), "source");
  check(values, ScalarType::Float, indices.numel(), "values");
  Weights w = weights_of(nullptr, row_ptr, indices, g.phases() * channels, grad.size(1) / g.groups * g.taps());
  static thread_local Scratch scratch;
  float* ordered = scratch.take<float>(indices.numel());
  const auto* from = static_cast<const float*>(values.const_data_ptr());
  const auto* order = static_cast<const int32_t*>(source.const_data_ptr());
  std::atomic<bool> inside{true};
  run_pieces(torch_threads(), indices.numel(), [&](int64_t begin, int64_t end) {
    if (!all_below(order + begin, end - begin, indices.numel())) return inside.store(false);
    for (int64_t k = begin; k < end; ++k) ordered[k] = from[order[k]];
  });
  STD_TORCH_CHECK(inside, "tamis: source points outside the packed values");
  w.values = ordered;
  return w;
}

Tensor conv_grad_input(const Tensor& grad, const Tensor& values, const Tensor& row_ptr, const Tensor& indices,
                       const Tensor& source, std::vector<int64_t> geometry, int64_t channels, int64_t layout) {
  const Geometry g = geometry_of(geometry);
  const Weights w = transposed_weights(g, grad, values, row_ptr, indices, source, channels);
  Tensor x = like(grad, grad.size(0), channels, g.in_rows, g.in_cols);
  multiply(input_gradient_product(g, images_of(grad), images_of(x)), w, {}, level(), layout_of(layout), torch_threads());
  return x;
}

Weights pattern_of(const Geometry& g, const Tensor& grad, const Tensor& x, const Tensor& row_ptr, const Tensor& indices) {
  const int64_t channels = row_ptr.numel() - 1;
  STD_TORCH_CHECK(x.dim() == 4 && grad.dim() == 4 && x.size(0) == grad.size(0) && x.size(2) == g.in_rows &&
                      x.size(3) == g.in_cols && grad.size(1) == channels && grad.size(2) == g.out_rows &&
                      grad.size(3) == g.out_cols && x.size(1) % g.groups == 0 && channels % g.groups == 0,
                  "tamis: input and gradient do not fit the geometry");
  return weights_of(nullptr, row_ptr, indices, channels, x.size(1) / g.groups * g.taps());
}

Tensor conv_grad_values(const Tensor& grad, const Tensor& x, const Tensor& row_ptr, const Tensor& indices,
                        std::vector<int64_t> geometry, int64_t layout) {
  const Geometry g = geometry_of(geometry);
  const Weights w = pattern_of(g, grad, x, row_ptr, indices);
  Tensor out = torch::stable::new_empty(grad, {indices.numel()});
  weight_gradient(forward_product(g, images_of(x), images_of(grad)), w, static_cast<float*>(out.mutable_data_ptr()),
                  level(), layout_of(layout), torch_threads());
  return out;
}

// The gradient of x and that of the live weights; the latter three arrays are those of transpose_pattern.
std::tuple<Tensor, Tensor> conv_gradients(const Tensor& grad, const Tensor& x, const Tensor& values, const Tensor& row_ptr,
                                          const Tensor& indices, const Tensor& t_row_ptr, const Tensor& t_indices,
                                          const Tensor& source, std::vector<int64_t> geometry, int64_t layout) {
  const Geometry g = geometry_of(geometry);
  const Weights w = pattern_of(g, grad, x, row_ptr, indices);
  STD_TORCH_CHECK(t_indices.numel() == indices.numel(), "tamis: the pattern and its transpose differ in length");
  const Weights t = transposed_weights(g, grad, values, t_row_ptr, t_indices, source, x.size(1));
  Tensor grad_x = like(grad, x.size(0), x.size(1), g.in_rows, g.in_cols);
  Tensor out = torch::stable::new_empty(grad, {indices.numel()});
  gradients(input_gradient_product(g, images_of(grad), images_of(grad_x)), t,
            forward_product(g, images_of(x), images_of(grad)), w, static_cast<float*>(out.mutable_data_ptr()), level(),
            layout_of(layout), torch_threads());
  return {grad_x, out};
}

std::tuple<Tensor, Tensor, Tensor> transpose_pattern(const Tensor& row_ptr, const Tensor& indices,
                                                     std::vector<int64_t> geometry, int64_t channels) {
  const Geometry g = geometry_of(geometry);
  const int64_t rows = row_ptr.numel() - 1;
  STD_TORCH_CHECK(channels >= 0 && channels % g.groups == 0 && rows >= 0 && rows % g.groups == 0 &&
                      rows / g.groups * g.taps() < (int64_t(1) << 31),
                  "tamis: the pattern does not fit the geometry");
  const Weights w = weights_of(nullptr, row_ptr, indices, rows, channels / g.groups * g.taps());
  Tensor t_row_ptr = torch::stable::new_empty(row_ptr, {g.phases() * channels + 1});
  Tensor t_indices = torch::stable::new_empty(indices, {indices.numel()});
  Tensor source = torch::stable::new_empty(indices, {indices.numel()});
  transpose_weights(g, w, rows, channels, static_cast<int64_t*>(t_row_ptr.mutable_data_ptr()),
                    static_cast<int32_t*>(t_indices.mutable_data_ptr()), static_cast<int32_t*>(source.mutable_data_ptr()));
  return {t_row_ptr, t_indices, source};
}

// A copy of `x` in another format.
Tensor to_format(const Tensor& x, int64_t wanted) {
  STD_TORCH_CHECK(x.dim() == 4 && x.scalar_type() == ScalarType::Float && wanted >= 0 && wanted <= 2,
                  "tamis: to_format takes a 4-d float32 tensor and 0 (NCHW), 1 (batch-last) or 2 (channels_last)");
  const std::optional<Format> from = format_of(x);
  const Format to = static_cast<Format>(wanted);
  STD_TORCH_CHECK(from && *from != to, "tamis: to_format goes from one of the three formats to another one");
  Tensor y = fresh_like(x, to);
  const int64_t n = x.size(0), c = x.size(1), pixels = x.size(2) * x.size(3);
  const bool back = *from == Format::chwn, by_channel = (back ? to : *from) == Format::nhwc;
  const bool pictures = !back && to != Format::chwn;
  const auto* src = static_cast<const float*>(x.const_data_ptr());
  auto* dst = static_cast<float*>(y.mutable_data_ptr());
  // Batch-last is [c][pixels][n]; the other side [n][c][pixels] or [n][pixels][c].
  Reorder r{src, dst, c, pixels, pixels * n, n, c * pixels, pixels, n};
  if (by_channel) r = {src, dst, pixels, c, n, n, c * pixels, c, pixels * n};
  if (back && !by_channel) r = {src, dst, c, pixels * n, pixels, pixels, n, n, c * pixels};
  if (back && by_channel) r = {src, dst, pixels, n, c, c, pixels * n, n, c * pixels};
  // Between NCHW and channels_last the matrices are the images.
  if (pictures && by_channel) r = {src, dst, n, c * pixels, c * pixels, pixels, c, c, pixels};
  if (pictures && !by_channel) r = {src, dst, n, c * pixels, c * pixels, c, pixels, pixels, c};
  reorder(r, level(), torch_threads());
  return y;
}

std::vector<int64_t> pool_state() {
  const MemoryPool::State s = MemoryPool::state();
  return {s.bytes_in_use, s.bytes_kept};
}

void pool_release() { MemoryPool::release(); }

std::string isa() { return level().name; }

std::string isas() {
  std::string names;
  for (int i = 0; i < level_count(); ++i)
    if (level_at(i).supported()) names += (names.empty() ? "" : ",") + std::string(level_at(i).name);
  return names;
}

bool set_isa(std::string name) { return set_level(name.c_str()); }

}  // namespace

STABLE_TORCH_LIBRARY(tamis, m) {
  m.def(
      "conv_forward(Tensor x, Tensor values, Tensor? bias, Tensor row_ptr, Tensor indices, int[] geometry, int layout, "
      "Tensor? residual=None, bool relu=False) -> Tensor");
  m.def(
      "conv_grad_input(Tensor grad, Tensor values, Tensor row_ptr, Tensor indices, Tensor source, int[] geometry, "
      "int channels, int layout) -> Tensor");
  m.def("conv_grad_values(Tensor grad, Tensor x, Tensor row_ptr, Tensor indices, int[] geometry, int layout) -> Tensor");
  m.def(
      "conv_gradients(Tensor grad, Tensor x, Tensor values, Tensor row_ptr, Tensor indices, Tensor t_row_ptr, "
      "Tensor t_indices, Tensor source, int[] geometry, int layout) -> (Tensor, Tensor)");
  m.def(
      "transpose_pattern(Tensor row_ptr, Tensor indices, int[] geometry, int channels) -> (Tensor, Tensor, Tensor)");
  m.def("to_format(Tensor x, int format) -> Tensor");
  m.def("pool_state() -> int[]");
  m.def("pool_release() -> ()");
  m.def("isa() -> str");
  m.def("isas() -> str");
  m.def("set_isa(str name) -> bool");
}
STABLE_TORCH_LIBRARY_IMPL(tamis, CPU, m) {
  m.impl("conv_forward", TORCH_BOX(&conv_forward));
  m.impl("conv_grad_input", TORCH_BOX(&conv_grad_input));
  m.impl("conv_grad_values", TORCH_BOX(&conv_grad_values));
  m.impl("conv_gradients", TORCH_BOX(&conv_gradients));
  m.impl("transpose_pattern", TORCH_BOX(&transpose_pattern));
  m.impl("to_format", TORCH_BOX(&to_format));
}
STABLE_TORCH_LIBRARY_IMPL(tamis, CompositeExplicitAutograd, m) {
  m.impl("pool_state", TORCH_BOX(&pool_state));
  m.impl("pool_release", TORCH_BOX(&pool_release));
  m.impl("isa", TORCH_BOX(&isa));
  m.impl("isas", TORCH_BOX(&isas));
  m.impl("set_isa", TORCH_BOX(&set_isa));
}
