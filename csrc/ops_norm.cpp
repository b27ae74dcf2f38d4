// Batch norm with residual and activation, and max pool, as operations of torch: checks, then csrc/norm.h and csrc/max_pool.h.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>
#include <tuple>
#include <vector>

#include "norm.h"
#include "max_pool.h"
#include "torch_images.h"

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

namespace {

using namespace tamis;

const float* floats(const Tensor& t) { return static_cast<const float*>(t.const_data_ptr()); }
const float* floats(const std::optional<Tensor>& t) { return t ? floats(*t) : nullptr; }

Format checked_format(const Tensor& t, const char* what) {
  STD_TORCH_CHECK(t.dim() == 4 && t.scalar_type() == ScalarType::Float, "tamis: ", what, " must be 4-d float32");
  const std::optional<Format> format = format_of(t);
  STD_TORCH_CHECK(format, "tamis: ", what, " must be NCHW, batch-last or channels_last without gaps");
  return *format;
}

void check_like(const Tensor& t, const Tensor& y, Format format, const char* what) {
  STD_TORCH_CHECK(t.dim() == 4 && t.scalar_type() == ScalarType::Float && t.size(0) == y.size(0) && t.size(1) == y.size(1) &&
                      t.size(2) == y.size(2) && t.size(3) == y.size(3) && has_format(t, format),
                  "tamis: ", what, " must have the type, shape and format of y");
}

void check_vector(const std::optional<Tensor>& t, int64_t length, const char* what) {
  STD_TORCH_CHECK(!t || (t->scalar_type() == ScalarType::Float && t->dim() == 1 && t->is_contiguous() &&
                         t->numel() == length),
                  "tamis: ", what, " must be ", length, " contiguous float32 numbers");
}

Planes planes_of(const Tensor& t, Format format) {
  const int64_t n = t.size(0), c = t.size(1), pixels = t.size(2) * t.size(3);
  if (format == Format::nchw) return {n, c, pixels};
  if (format == Format::chwn) return {1, c, pixels * n};
  return {n * pixels, c, 1};
}

NormActivation activation_of(int64_t activation) {
  STD_TORCH_CHECK(activation >= 0 && activation <= 2, "tamis: activation must be 0 (none), 1 (relu) or 2 (relu6)");
  return static_cast<NormActivation>(activation);
}

std::tuple<Tensor, Tensor> norm_act(const Tensor& y, const std::optional<Tensor>& residual,
                                    const std::optional<Tensor>& gamma, const std::optional<Tensor>& beta,
                                    const std::optional<Tensor>& mean, const std::optional<Tensor>& variance, double eps,
                                    int64_t activation) {
  const Format format = checked_format(y, "y");
  if (residual) check_like(*residual, y, format, "the residual");
  check_vector(gamma, y.size(1), "gamma");
  check_vector(beta, y.size(1), "beta");
  check_vector(mean, y.size(1), "mean");
  check_vector(variance, y.size(1), "variance");
  STD_TORCH_CHECK(mean.has_value() == variance.has_value(), "tamis: mean and variance come together");
  Tensor z = fresh_like(y, format), stats = torch::stable::new_empty(y, {STATS_ROWS, y.size(1)});
  norm_forward({planes_of(y, format), floats(y), floats(residual), floats(gamma), floats(beta), floats(mean),
                floats(variance), eps, activation_of(activation), static_cast<float*>(z.mutable_data_ptr()),
                static_cast<float*>(stats.mutable_data_ptr())},
               level(), torch_threads());
  return {z, stats};
}

// Gradients that are not wanted come back as empty tensors. The last holds those of gamma and beta.
std::tuple<Tensor, Tensor, Tensor> norm_act_grad(const Tensor& grad, const Tensor& y, const std::optional<Tensor>& z,
                                                 const Tensor& stats, int64_t activation, bool batch_statistics,
                                                 bool wants_y, bool wants_residual) {
  const Format format = checked_format(y, "y");
  check_like(grad, y, format, "the gradient");
  if (z) check_like(*z, y, format, "z");
  STD_TORCH_CHECK(stats.dim() == 2 && stats.size(0) == STATS_ROWS && stats.size(1) == y.size(1) && stats.is_contiguous() &&
                      stats.scalar_type() == ScalarType::Float,
                  "tamis: stats are not those of norm_act");
  Tensor grad_y = wants_y ? fresh_like(y, format) : torch::stable::new_empty(y, {0});
  Tensor grad_residual = wants_residual ? fresh_like(y, format) : torch::stable::new_empty(y, {0});
  Tensor constants = torch::stable::new_empty(y, {2, y.size(1)});
  auto* const gamma = static_cast<float*>(constants.mutable_data_ptr());
  const NormActivation act = activation_of(activation);
  const NormMask mask = act == ACTIVATION_NONE ? MASK_NONE : z ? MASK_FROM_Z : MASK_FROM_Y;
  STD_TORCH_CHECK(mask != MASK_FROM_Z || wants_residual || !wants_y,
                  "tamis: with z the gradient of y passes through that of the residual");
  norm_backward({planes_of(y, format), floats(grad), floats(y), floats(z), floats(stats), act, mask, batch_statistics,
                 wants_y ? static_cast<float*>(grad_y.mutable_data_ptr()) : nullptr,
                 wants_residual ? static_cast<float*>(grad_residual.mutable_data_ptr()) : nullptr, gamma, gamma + y.size(1)},
                level(), torch_threads());
  return {grad_y, grad_residual, constants};
}

Geometry pool_geometry(const std::vector<int64_t>& g) {
  STD_TORCH_CHECK(g.size() == 12, "tamis: the geometry of a pool has 12 integers");
  const Geometry r{g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11], 1};
  constexpr int64_t most = int64_t(1) << 31;
  for (int64_t n : g) STD_TORCH_CHECK(n >= 0 && n < most, "tamis: geometry out of range");
  STD_TORCH_CHECK(r.tap_rows > 0 && r.tap_cols > 0 && r.tap_rows <= 256 && r.tap_cols <= 256 && r.taps() <= 256 &&
                      r.stride_rows > 0 && r.stride_cols > 0 && r.dilation_rows > 0 && r.dilation_cols > 0 && r.in_rows > 0 &&
                      r.in_cols > 0 && r.out_rows > 0 && r.out_cols > 0,
                  "tamis: geometry out of range");
  return r;
}

// Every window must begin, or have a tap, inside the picture; the kernels read the first without asking.
void check_windows(int64_t outputs, int64_t inputs, int64_t taps, int64_t stride, int64_t pad, int64_t dilation) {
  for (int64_t o = 0; o < outputs; ++o) {
    bool some = false;
    for (int64_t t = 0; t < taps && !some; ++t) {
      const int64_t i = o * stride - pad + t * dilation;
      some = i >= 0 && i < inputs;
    }
    STD_TORCH_CHECK(some, "tamis: a window of the pool lies outside the picture");
  }
}

Places places_of(const Tensor& t, Format format) {
  const int64_t n = t.size(0), c = t.size(1);
  if (format == Format::nchw) return {n * c, 1};
  return format == Format::chwn ? Places{c, n} : Places{n, c};
}

std::tuple<Tensor, Tensor> max_pool_forward(const Tensor& x, std::vector<int64_t> geometry) {
  const Format format = checked_format(x, "x");
  const Geometry g = pool_geometry(geometry);
  STD_TORCH_CHECK(x.size(2) == g.in_rows && x.size(3) == g.in_cols, "tamis: the input does not fit the geometry");
  check_windows(g.out_rows, g.in_rows, g.tap_rows, g.stride_rows, g.pad_top, g.dilation_rows);
  check_windows(g.out_cols, g.in_cols, g.tap_cols, g.stride_cols, g.pad_left, g.dilation_cols);
  Tensor y = fresh(x, format, x.size(0), x.size(1), g.out_rows, g.out_cols);
  Tensor index = torch::stable::new_empty(x, {y.numel()}, ScalarType::Byte);
  if (y.numel())
    max_pool(g, places_of(x, format), floats(x), static_cast<float*>(y.mutable_data_ptr()),
             static_cast<uint8_t*>(index.mutable_data_ptr()), level(), torch_threads());
  return {y, index};
}

Tensor max_pool_grad(const Tensor& grad, const Tensor& index, std::vector<int64_t> geometry, int64_t format) {
  const Geometry g = pool_geometry(geometry);
  STD_TORCH_CHECK(format >= 0 && format <= 2, "tamis: format must be 0 (NCHW), 1 (batch-last) or 2 (channels_last)");
  const Format f = static_cast<Format>(format);
  STD_TORCH_CHECK(grad.dim() == 4 && grad.scalar_type() == ScalarType::Float && grad.size(2) == g.out_rows &&
                      grad.size(3) == g.out_cols && has_format(grad, f),
                  "tamis: the gradient has another type, shape or format than the pool's result");
  STD_TORCH_CHECK(index.scalar_type() == ScalarType::Byte && index.dim() == 1 && index.is_contiguous() &&
                      index.numel() == grad.numel(),
                  "tamis: index is not that of max_pool");
  Tensor x = fresh(grad, f, grad.size(0), grad.size(1), g.in_rows, g.in_cols);
  if (x.numel())
    max_pool_gradient(g, places_of(grad, f), floats(grad), static_cast<const uint8_t*>(index.const_data_ptr()),
                      static_cast<float*>(x.mutable_data_ptr()), level(), torch_threads());
  return x;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(tamis, m) {
  m.def(
      "norm_act(Tensor y, Tensor? residual, Tensor? gamma, Tensor? beta, Tensor? mean, Tensor? variance, float eps, "
      "int activation) -> (Tensor, Tensor)");
  m.def(
      "norm_act_grad(Tensor grad, Tensor y, Tensor? z, Tensor stats, int activation, bool batch_statistics, "
      "bool wants_y, bool wants_residual) -> (Tensor, Tensor, Tensor)");
  m.def("max_pool(Tensor x, int[] geometry) -> (Tensor, Tensor)");
  m.def("max_pool_grad(Tensor grad, Tensor index, int[] geometry, int format) -> Tensor");
}
STABLE_TORCH_LIBRARY_IMPL(tamis, CPU, m) {
  m.impl("norm_act", TORCH_BOX(&norm_act));
  m.impl("norm_act_grad", TORCH_BOX(&norm_act_grad));
  m.impl("max_pool", TORCH_BOX(&max_pool_forward));
  m.impl("max_pool_grad", TORCH_BOX(&max_pool_grad));
}
