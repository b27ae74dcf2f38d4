// The driver against a naive convolution: forward, gradient of the input and of the live weights, for random geometries,
// every layout, several memory orders, serial and threaded. Serial, threaded, both layouts must agree to the bit.
#include "driver.h"

#include <cmath>
#include <cstring>
#include <vector>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "check.h"
#include "crew.h"
#include "pattern.h"
#include "pointwise.h"
#include "rows.h"

using namespace tamis;
using tamis_test::Random;
using tamis_test::one;
using tamis_test::three;

namespace {

// A tensor with exactly the floats that its strides reach.
struct Tensor {
  Images view{};
  std::vector<float> data;

  Tensor(int64_t n, int64_t c, int64_t h, int64_t w, int order, Random& random) {
    view = {nullptr, n, c, h, w, c * h * w, h * w, w, 1};
    if (order == 1) view = {nullptr, n, c, h, w, c * h * w, 1, w * c, c};        // channels innermost
    if (order == 2) view = {nullptr, n, c, h, w, 1, n * h * w, n * w, n};        // images innermost
    if (order == 3) view = {nullptr, n, c, h, w, 2 * c * h * w + 3, 2 * h * w, 2 * w, 2};  // gaps
    if (order == 5) view = {nullptr, n, c, h, w, c * (h * w + 3) + 5, h * w + 3, w, 1};  // gaps between channels
    if (order == 4) view = {nullptr, n, c, h, w, 0, 0, 0, 0};                     // one number, expanded
    const int64_t floats = n * c * h * w == 0 ? 0
                                              : 1 + (n - 1) * view.image_step + (c - 1) * view.channel_step +
                                                    (h - 1) * view.row_step + (w - 1) * view.col_step;
    data.resize(size_t(floats));
    for (float& v : data) v = random.value();
    view.data = data.data();
  }
  float& at(int64_t n, int64_t c, int64_t h, int64_t w) {
    return data[size_t(n * view.image_step + c * view.channel_step + h * view.row_step + w * view.col_step)];
  }
  void forget() { data.assign(data.size(), NAN); }
};

// 1x1 convolutions whose images lie innermost everywhere: long rows that are cut into pieces.
bool pixels_alike(int number) { return number % 13 == 5; }
// 1x1 convolutions of a few images in NCHW: read and written where they lie.
bool ready_made(int number) { return number % 13 == 8; }

struct Layer {
  Geometry g;
  int64_t images, channels, outputs, row_length;
  std::vector<int64_t> row_ptr{0};
  std::vector<int32_t> indices;
  std::vector<float> values, bias;

  Layer(Random& random, int number) {
    const int64_t groups = random.below(3) ? 1 : random.between(2, 4);
    const bool linear = number % 7 == 0;
    const auto size = [&](int64_t most) { return linear ? 1 : random.between(1, most); };
    const int64_t kh = size(4), kw = size(4), dh = size(3), dw = size(3), sh = size(4), sw = size(4);
    const int64_t top = linear ? 0 : random.below(kh * dh + 1), left = linear ? 0 : random.below(kw * dw + 1);
    const int64_t bottom = linear ? 0 : random.below(3), right = linear ? 0 : random.below(3);
    int64_t h = size(14), w = size(number % 5 ? 14 : 150);
    while (h + top + bottom < dh * (kh - 1) + 1) ++h;
    while (w + left + right < dw * (kw - 1) + 1) ++w;
    g = {h, w, (h + top + bottom - dh * (kh - 1) - 1) / sh + 1, (w + left + right - dw * (kw - 1) - 1) / sw + 1,
         kh, kw, sh, sw, top, left, dh, dw, groups};
    if (pixels_alike(number)) {
      h = random.between(5, 9), w = random.between(5, 9);
      g = {h, w, h, w, 1, 1, 1, 1, 0, 0, 1, 1, groups};
    }
    if (ready_made(number)) {
      h = random.between(1, 30), w = random.between(1, 40);
      g = {h, w, h, w, 1, 1, 1, 1, 0, 0, 1, 1, groups};
    }
    images = pixels_alike(number) ? random.between(30, 70) : number % 11 == 3 ? 0 : random.below(3) ? random.between(1, 5) : random.between(6, 70);
    channels = groups * random.between(1, linear || pixels_alike(number) || number % 3 == 0 ? 90 : 9);
    outputs = groups * random.between(1, 9);
    row_length = channels / groups * g.taps();
    const int64_t living = random.below(5);  // none, few, half, nearly all, all
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t i = 0; i < row_length; ++i) {
        const int64_t dice = random.below(100);
        if (living == 4 || (living && dice < (living == 1 ? 8 : living == 2 ? 50 : 95))) indices.push_back(int32_t(i));
      }
      row_ptr.push_back(int64_t(indices.size()));
      bias.push_back(random.value());
    }
    for (size_t k = 0; k < indices.size(); ++k) values.push_back(random.value());
  }

  Layer(Random& random, const Geometry& geometry, int64_t images, int64_t channels, int64_t outputs, int64_t percent)
      : g(geometry), images(images), channels(channels), outputs(outputs), row_length(channels / g.groups * g.taps()) {
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t i = 0; i < row_length; ++i)
        if (random.below(100) < percent) indices.push_back(int32_t(i));
      row_ptr.push_back(int64_t(indices.size()));
      bias.push_back(random.value());
    }
    for (size_t k = 0; k < indices.size(); ++k) values.push_back(random.value());
  }

  // Calls visit(image, output, output row, output column, weight, channel, input row, input column) for every product.
  template <typename Visit>
  void every_product(const Visit& visit) const {
    for (int64_t n = 0; n < images; ++n)
      for (int64_t o = 0; o < outputs; ++o)
        for (int64_t r = 0; r < g.out_rows; ++r)
          for (int64_t c = 0; c < g.out_cols; ++c)
            for (int64_t k = row_ptr[size_t(o)]; k < row_ptr[size_t(o) + 1]; ++k) {
              const int64_t index = indices[size_t(k)], tap = index % g.taps();
              const int64_t row = r * g.stride_rows + tap / g.tap_cols * g.dilation_rows - g.pad_top;
              const int64_t col = c * g.stride_cols + tap % g.tap_cols * g.dilation_cols - g.pad_left;
              if (row < 0 || row >= g.in_rows || col < 0 || col >= g.in_cols) continue;
              visit(n, o, r, c, k, o / (outputs / g.groups) * (channels / g.groups) + index / g.taps(), row, col);
            }
  }
};

struct Sum {
  double value = 0, size = 1;
  void add(double x) {
    value += x;
    size += std::fabs(x);
  }
  bool is(float got, double epsilon) const { return std::fabs(got - value) <= epsilon * size; }
};

template <typename At>
void compare(const std::vector<Sum>& expected, const At& at, double epsilon, const char* what, const char* isa, int number) {
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(expected[i].is(at(int64_t(i)), epsilon), "%s, %s, case %d: value %d is %g, not %g", isa, what, number, int(i),
          at(int64_t(i)), expected[i].value);
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(float)));
}

// Orders of memory (see Tensor).
struct Orders {
  int in, out, grad, grad_in;
};

void run(const Level& level, int number, Layer& l, const Orders& orders, const std::vector<const Parallel*>& parallels,
         Random& random) {
  Tensor x(l.images, l.channels, l.g.in_rows, l.g.in_cols, orders.in, random);
  Tensor y(l.images, l.outputs, l.g.out_rows, l.g.out_cols, orders.out, random);
  Tensor grad(l.images, l.outputs, l.g.out_rows, l.g.out_cols, orders.grad, random);
  Tensor grad_x(l.images, l.channels, l.g.in_rows, l.g.in_cols, orders.grad_in, random);
  const auto place = [](const Images& v, int64_t n, int64_t c, int64_t h, int64_t w) {
    return size_t(((n * v.channels + c) * v.rows + h) * v.cols + w);
  };
  std::vector<Sum> forward(size_t(l.images * l.outputs * l.g.out_rows * l.g.out_cols)), weights(l.indices.size());
  std::vector<Sum> backward(size_t(l.images * l.channels * l.g.in_rows * l.g.in_cols));
  for (size_t i = 0; i < forward.size(); ++i)
    forward[i].add(l.bias[i / size_t(l.g.out_rows * l.g.out_cols) % size_t(l.outputs)]);
  l.every_product([&](int64_t n, int64_t o, int64_t r, int64_t c, int64_t k, int64_t i, int64_t row, int64_t col) {
    const double input = x.at(n, i, row, col), gradient = grad.at(n, o, r, c), weight = l.values[size_t(k)];
    forward[place(y.view, n, o, r, c)].add(weight * input);
    backward[place(x.view, n, i, row, col)].add(weight * gradient);
    weights[size_t(k)].add(input * gradient);
  });

  std::vector<int64_t> t_row_ptr(size_t(l.g.phases() * l.channels + 1));
  std::vector<int32_t> t_indices(l.indices.size()), source(l.indices.size());
  const Weights w{l.values.data(), l.row_ptr.data(), l.indices.data()};
  transpose_weights(l.g, w, l.outputs, l.channels, t_row_ptr.data(), t_indices.data(), source.data());
  std::vector<float> ordered;
  for (int32_t k : source) ordered.push_back(l.values[size_t(k)]);
  const Weights t{ordered.data(), t_row_ptr.data(), t_indices.data()};

  std::vector<float> first_y, first_grad_x;
  for (Layout layout : {Layout::columns, Layout::images, Layout::automatic}) {
    std::vector<float> serial_weights, serial_both;
    for (const Parallel* parallel : parallels) {
      y.forget();
      multiply(forward_product(l.g, x.view, y.view), w, {l.bias.data(), nullptr, false}, level, layout, *parallel);
      compare(forward, [&](int64_t i) {
        const int64_t col = i % l.g.out_cols, row = i / l.g.out_cols % l.g.out_rows, o = i / l.g.out_cols / l.g.out_rows;
        return y.at(o / l.outputs, o % l.outputs, row, col);
      }, 1e-6, "forward", level.name, number);
      grad_x.forget();
      multiply(input_gradient_product(l.g, grad.view, grad_x.view), t, {}, level, layout, *parallel);
      compare(backward, [&](int64_t i) {
        const int64_t col = i % l.g.in_cols, row = i / l.g.in_cols % l.g.in_rows, c = i / l.g.in_cols / l.g.in_rows;
        return grad_x.at(c / l.channels, c % l.channels, row, col);
      }, 1e-6, "gradient of the input", level.name, number);
      if (!forward.empty()) {  // the same with an epilogue: the residual is the result itself, so relu(2 y) remains
        const std::vector<float> plain = y.data;
        Tensor residual = y;
        residual.view.data = residual.data.data();
        multiply(forward_product(l.g, x.view, y.view), w, {l.bias.data(), residual.data.data(), true}, level, layout,
                 *parallel);
        for (int64_t i = 0; i < int64_t(forward.size()); ++i) {
          const int64_t col = i % l.g.out_cols, row = i / l.g.out_cols % l.g.out_rows, o = i / l.g.out_cols / l.g.out_rows;
          const float got = y.at(o / l.outputs, o % l.outputs, row, col);
          const double wanted = 2 * forward[size_t(i)].value > 0 ? 2 * forward[size_t(i)].value : 0;
          CHECK(std::fabs(got - wanted) <= 3e-6 * forward[size_t(i)].size, "%s case %d: epilogue gives %g, not %g", level.name,
                number, got, wanted);
        }
        y.data = plain;
      }
      if (first_y.empty()) first_y = y.data, first_grad_x = grad_x.data;
      CHECK(same(first_y, y.data), "%s case %d: forward moves with layout or threads", level.name, number);
      CHECK(same(first_grad_x, grad_x.data), "%s case %d: gradient moves with layout or threads", level.name, number);
      std::vector<float> grad_values(l.indices.size(), NAN);
      weight_gradient(forward_product(l.g, x.view, grad.view), {nullptr, w.row_ptr, w.indices}, grad_values.data(), level,
                      layout, *parallel);
      compare(weights, [&](int64_t k) { return grad_values[size_t(k)]; }, 1e-6, "gradient of the weights", level.name,
              number);
      if (serial_weights.empty()) serial_weights = grad_values;
      CHECK(same(serial_weights, grad_values), "%s case %d: weights' gradient moves with threads", level.name, number);
      grad_values.assign(grad_values.size(), NAN);
      grad_x.forget();
      gradients(input_gradient_product(l.g, grad.view, grad_x.view), t, forward_product(l.g, x.view, grad.view),
                {nullptr, w.row_ptr, w.indices}, grad_values.data(), level, layout, *parallel);
      compare(weights, [&](int64_t k) { return grad_values[size_t(k)]; }, 1e-6, "both gradients", level.name, number);
      CHECK(same(first_grad_x, grad_x.data), "%s case %d: both gradients: that of the input moves", level.name, number);
      if (serial_both.empty()) serial_both = grad_values;
      CHECK(same(serial_both, grad_values), "%s case %d: both gradients move with threads", level.name, number);
    }
  }
}

void run(const Level& level, int number, Random& random) {
  Layer l(random, number);
  const bool alike = pixels_alike(number), ready = ready_made(number);
  const auto order = [&](int64_t most) { return alike ? 2 : ready ? 0 : int(random.below(most)); };
  const Orders orders{order(5), order(4), order(5), order(4)};
  run(level, number, l, orders, {&one, &three}, random);
}

// What random shapes of a bearable size do not reach (benchmarks/soak/driver_coverage.py tells).
void rare_shapes(const Level& level, Random& random) {
  struct Rare {
    const char* why;
    Geometry g;
    int64_t images, channels, outputs, percent;
  };
  const Rare all[] = {
      {"a panel of the result's gradient that L2 cannot hold", {64, 64, 64, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1}, 1, 2, 300, 10},
      {"rows cut into several tiles", {60, 100, 60, 100, 3, 3, 1, 1, 1, 1, 1, 1, 1}, 1, 200, 2, 5},
      {"pieces of a row that read their neighbours", {1, 3000, 1, 3000, 1, 3, 1, 1, 0, 1, 1, 1, 1}, 2, 3, 4, 50},
      {"a phase without pixels in the last tile", {9, 1600, 5, 800, 2, 2, 2, 2, 0, 0, 1, 1, 1}, 1, 200, 1, 8},
      {"more chunks of outputs than outputs fill", {3, 3, 3, 3, 1, 1, 1, 1, 0, 0, 1, 1, 1}, 1, 5, 322, 30},
      {"more chunks of inputs than inputs fill", {3, 3, 3, 3, 1, 1, 1, 1, 0, 0, 1, 1, 1}, 1, 322, 5, 30},
      {"no row of results", {2, 5, 0, 5, 3, 1, 1, 1, 0, 0, 1, 1, 1}, 3, 4, 5, 50},
      {"no column of results", {5, 2, 5, 0, 1, 3, 1, 1, 0, 0, 1, 1, 1}, 3, 4, 5, 50},
      {"no pixel of input, only its padding", {0, 3, 2, 3, 1, 1, 1, 1, 1, 0, 1, 1, 1}, 3, 4, 5, 50},
      {"no channel of input", {4, 4, 4, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1}, 3, 0, 5, 50},
      {"no channel of results", {4, 4, 4, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1}, 3, 4, 0, 50},
  };
  const Parallel twenty{20, tamis_test::serial};
  int number = 1000;
  for (const Rare& rare : all) {
    const int before = tamis_test::failures();
    Layer l(random, rare.g, rare.images, rare.channels, rare.outputs, rare.percent);
    run(level, number++, l, {0, 0, 0, 0}, {&one, &three, &twenty}, random);
    if (tamis_test::failures() != before) std::printf("  in: %s\n", rare.why);
  }
}

// Pictures of every length around one and two register tiles, read and written where they lie: few channels and many live
// weights, with and without gaps between channels, source copied or not.
void every_length(const Level& level, Random& random) {
  int number = 2000;
  for (int64_t pixels = 1; pixels < 70; ++pixels, ++number) {
    const Geometry g{1, pixels, 1, pixels, 1, 1, 1, 1, 0, 0, 1, 1, 1};
    Layer l(random, g, 2, 3, random.between(1, 40), 60);
    run(level, number, l, {number % 2 ? 5 : 0, number % 3 ? 0 : 5, 0, 0}, {&one, &three}, random);
  }
  for (int64_t pixels : {223, 225, 448, 449, 460}) {
    const Geometry g{1, pixels, 1, pixels, 1, 1, 1, 1, 0, 0, 1, 1, 1};
    Layer l(random, g, 1, 4, 5, 60);
    run(level, number++, l, {5, 5, 5, 5}, {&one, &three}, random);
  }
}

// Offsets of channels are 32-bit, also in a copy whose channels are whole vectors. No memory is touched.
void far_channels(const Level& level) {
  TileLimits limits;
  level.limits(&limits);
  const int64_t pixels = limits.lanes + 1, channels = INT32_MAX / pixels - 1;
  const Geometry g{1, pixels, 1, pixels, 1, 1, 1, 1, 0, 0, 1, 1, 1};
  const auto ready = [&](int64_t inputs) {
    const Images x{nullptr, 1, inputs, 1, pixels, inputs * pixels, pixels, pixels, 1};
    const Images y{nullptr, 1, 1, 1, pixels, pixels, pixels, pixels, 1};
    return lies_ready(forward_product(g, x, y), limits);
  };
  CHECK(ready(channels / 2 - 1), "%s: a copy of half of them fits", level.name);
  CHECK(!ready(channels), "%s: a copy's offsets exceed 32 bits", level.name);
}

// Two images whose first floats lie more than 2^31 floats apart, as input and as result; only touched pages exist.
void far_apart(const Level& level) {
#if defined(__linux__) && UINTPTR_MAX > UINT32_MAX
  const int64_t step = (int64_t(1) << 31) + 12345, floats = step + 64;
  const auto reserve = [&] {
    void* p = mmap(nullptr, size_t(floats) * 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? nullptr : static_cast<float*>(p);
  };
  float *from = reserve(), *to = reserve();
  CHECK(from && to, "no address space");
  if (!from || !to) return;
  const Images x{from, 2, 1, 1, 20, step, 20, 20, 1}, y{to, 2, 1, 1, 20, step, 20, 20, 1};
  for (int64_t i = 0; i < 20; ++i) from[i] = float(i), from[step + i] = float(100 + i);
  const float value = 2;
  const std::vector<int64_t> row_ptr = {0, 1};
  const int32_t index = 0;
  const Geometry g{1, 20, 1, 20, 1, 1, 1, 1, 0, 0, 1, 1, 1};
  for (Layout layout : {Layout::columns, Layout::images}) {
    multiply(forward_product(g, x, y), {&value, row_ptr.data(), &index}, {}, level, layout, one);
    for (int64_t i = 0; i < 20; ++i)
      CHECK(to[i] == 2 * float(i) && to[step + i] == 2 * float(100 + i), "%s: far apart, column %d", level.name, int(i));
  }
  munmap(from, size_t(floats) * 4);
  munmap(to, size_t(floats) * 4);
#else
  (void)level;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  const Level& level = tamis_test::row_of_command_line(argc, argv);
  Random random(2);
  for (int number = 0; number < 120; ++number) run(level, number, random);
  rare_shapes(level, random);
  every_length(level, random);
  far_channels(level);
  far_apart(level);
  std::printf("%s: %d failures\n", level.name, tamis_test::failures());
  return tamis_test::failures() != 0;
}
