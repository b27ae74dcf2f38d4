// Batch norm with residual and activation, max pool and change of format against loops that nobody can misread, for random
// shapes and the three formats, serial and threaded. Threads must not move a bit.
#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "crew.h"
#include "max_pool.h"
#include "norm.h"
#include "reorder.h"
#include "rows.h"

using namespace tamis;
using tamis_test::Random;
using tamis_test::one;
using tamis_test::three;

namespace {

std::vector<float> random_floats(int64_t count, Random& random) {
  std::vector<float> v(static_cast<size_t>(count));
  for (float& x : v) x = random.value();
  return v;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(float));
}

void norm(const Level& level, Random& random, int number) {
  const Planes planes{random.between(1, 12), random.between(1, 9), number % 3 ? random.between(2, 400) : 1};
  const int64_t total = planes.total(), count = planes.per_channel();
  if (count < 2) return;
  const bool residual = random.below(2);
  const auto activation = static_cast<NormActivation>(random.below(3));
  const std::vector<float> y = random_floats(total, random), r = random_floats(total, random);
  const std::vector<float> gamma = random_floats(planes.channels, random), beta = random_floats(planes.channels, random);
  const std::vector<float> grad = random_floats(total, random);
  std::vector<float> first_z, first_dy;
  for (const Parallel* parallel : {&one, &three}) {
    std::vector<float> z(size_t(total), NAN), stats(size_t(STATS_ROWS * planes.channels), NAN);
    norm_forward({planes, y.data(), residual ? r.data() : nullptr, gamma.data(), beta.data(), nullptr, nullptr, 1e-5,
                  activation, z.data(), stats.data()},
                 level, *parallel);
    std::vector<float> dy(size_t(total), NAN), dr(size_t(total), NAN), dgamma(gamma.size(), NAN), dbeta(beta.size(), NAN);
    const NormMask mask = activation == ACTIVATION_NONE ? MASK_NONE : residual ? MASK_FROM_Z : MASK_FROM_Y;
    norm_backward({planes, grad.data(), y.data(), mask == MASK_FROM_Z ? z.data() : nullptr, stats.data(), activation, mask, true,
                   dy.data(), mask == MASK_FROM_Z ? dr.data() : nullptr, dgamma.data(), dbeta.data()},
                  level, *parallel);
    for (int64_t c = 0; c < planes.channels; ++c) {
      double mean = 0, square = 0, sum = 0, product = 0;
      const auto each = [&](auto&& visit) {
        for (int64_t o = 0; o < planes.outer; ++o)
          for (int64_t i = 0; i < planes.inner; ++i) visit(size_t((o * planes.channels + c) * planes.inner + i));
      };
      each([&](size_t at) { mean += y[at]; });
      mean /= double(count);
      each([&](size_t at) { square += (y[at] - mean) * (y[at] - mean); });
      const double invstd = 1 / std::sqrt(square / double(count) + 1e-5);
      each([&](size_t at) {
        double v = (y[at] - mean) * invstd * gamma[size_t(c)] + beta[size_t(c)] + (residual ? r[at] : 0);
        if (activation != ACTIVATION_NONE && v < 0) v = 0;
        if (activation == ACTIVATION_RELU6 && v > 6) v = 6;
        CHECK(std::fabs(z[at] - v) < 2e-5 * (1 + std::fabs(v)), "%s norm %d: %g, not %g", level.name, number, z[at], v);
        const bool through = activation == ACTIVATION_NONE || (z[at] > 0 && (activation == ACTIVATION_RELU || z[at] < 6));
        const double g = through ? grad[at] : 0;
        sum += g, product += g * (y[at] - mean) * invstd;
      });
      const double slack = 1e-4 * double(count);
      CHECK(std::fabs(dbeta[size_t(c)] - sum) < slack, "%s norm %d: beta %g, not %g", level.name, number, dbeta[size_t(c)], sum);
      CHECK(std::fabs(dgamma[size_t(c)] - product) < slack, "%s norm %d: gamma %g, not %g", level.name, number,
            dgamma[size_t(c)], product);
      each([&](size_t at) {
        const bool through = activation == ACTIVATION_NONE || (z[at] > 0 && (activation == ACTIVATION_RELU || z[at] < 6));
        const double g = through ? grad[at] : 0, scale = gamma[size_t(c)] * invstd;
        const double wanted = scale * (g - sum / double(count) - (y[at] - mean) * invstd * product / double(count));
        CHECK(std::fabs(dy[at] - wanted) < 1e-3 * (1 + std::fabs(scale)), "%s norm %d: gradient %g, not %g", level.name, number,
              dy[at], wanted);
      });
    }
    if (first_z.empty()) first_z = z, first_dy = dy;
    CHECK(same(first_z, z) && same(first_dy, dy), "%s norm %d moves with threads", level.name, number);
  }
}

void pool(const Level& level, Random& random, int number) {
  const int64_t kernel = random.between(1, 4), stride = random.between(1, 3), pad = random.below(kernel / 2 + 1);
  const int64_t rows = random.between(kernel, 11), cols = random.between(kernel, 11);
  const int64_t out_rows = (rows + 2 * pad - kernel) / stride + 1, out_cols = (cols + 2 * pad - kernel) / stride + 1;
  const Geometry g{rows, cols, out_rows, out_cols, kernel, kernel, stride, stride, pad, pad, 1, 1, 1};
  const Places places{random.between(1, 5), number % 2 ? 1 : random.between(1, 40)};
  const int64_t inputs = places.planes * rows * cols * places.lanes, outputs = places.planes * out_rows * out_cols * places.lanes;
  const std::vector<float> x = random_floats(inputs, random), grad = random_floats(outputs, random);
  for (const Parallel* parallel : {&one, &three}) {
    std::vector<float> y(size_t(outputs), NAN), grad_x(size_t(inputs), NAN);
    std::vector<double> wanted(static_cast<size_t>(inputs));
    std::vector<uint8_t> index(static_cast<size_t>(outputs));
    max_pool(g, places, x.data(), y.data(), index.data(), level, *parallel);
    max_pool_gradient(g, places, grad.data(), index.data(), grad_x.data(), level, *parallel);
    for (int64_t p = 0; p < places.planes; ++p)
      for (int64_t o = 0; o < out_rows * out_cols; ++o)
        for (int64_t lane = 0; lane < places.lanes; ++lane) {
          int64_t best = -1;
          for (int64_t tap = 0; tap < kernel * kernel; ++tap) {
            const int64_t row = o / out_cols * stride - pad + tap / kernel, col = o % out_cols * stride - pad + tap % kernel;
            if (row < 0 || col < 0 || row >= rows || col >= cols) continue;
            const int64_t at = ((p * rows + row) * cols + col) * places.lanes + lane;
            if (best < 0 || x[size_t(at)] > x[size_t(best)]) best = at;
          }
          const size_t at = size_t((p * out_rows * out_cols + o) * places.lanes + lane);
          CHECK(y[at] == x[size_t(best)], "%s pool %d: %g, not %g", level.name, number, y[at], x[size_t(best)]);
          wanted[size_t(best)] += grad[at];
        }
    for (size_t i = 0; i < wanted.size(); ++i)
      CHECK(std::fabs(grad_x[i] - wanted[i]) < 1e-5, "%s pool %d: gradient %g, not %g", level.name, number, grad_x[i], wanted[i]);
  }
}

void change_format(const Level& level, Random& random, int number) {
  const int64_t count = random.between(1, 5), rows = random.between(1, 90), cols = random.between(1, 700);
  const std::vector<float> src = random_floats(count * rows * cols, random);
  for (const Parallel* parallel : {&one, &three}) {
    std::vector<float> dst(src.size(), NAN);
    reorder({src.data(), dst.data(), count, rows * cols, rows * cols, rows, cols, cols, rows}, level, *parallel);
    for (int64_t i = 0; i < int64_t(src.size()); ++i) {
      const int64_t matrix = i / (rows * cols), row = i / cols % rows, col = i % cols;
      CHECK(dst[size_t(matrix * rows * cols + col * rows + row)] == src[size_t(i)], "%s format %d: place %d", level.name, number,
            int(i));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Level& level = tamis_test::row_of_command_line(argc, argv);
  Random random(3);
  for (int number = 0; number < 60; ++number) {
    norm(level, random, number);
    pool(level, random, number);
    change_format(level, random, number);
  }
  std::printf("%s: %d failures\n", level.name, tamis_test::failures());
  return tamis_test::failures() != 0;
}
