#include "norm.h"

#include <cmath>
#include <vector>

#include "bypass.h"
#include "norm_pieces.h"
#include "tasks.h"

namespace tamis {
namespace {

// Count, mean and sum of squared distances of values seen so far (Chan, Golub, LeVeque 1979).
struct Moments {
  double count = 0, mean = 0, squares = 0;
  void add(double n, double other_mean, double other_squares) {
    if (n == 0) return;
    const double all = count + n, distance = other_mean - mean;
    mean += distance * (n / all);
    squares += other_squares + distance * distance * (count * n / all);
    count = all;
  }
};

float* row(float* stats, const Planes& p, NormStats which) { return stats + which * p.channels; }
const float* row(const float* stats, const Planes& p, NormStats which) { return stats + which * p.channels; }

// The constants of one channel. The float32 center absorbs a large mean, what it cannot hold goes into the shift.
void set_channel(const NormForward& f, int64_t c, double mean, double variance, double unbiased) {
  const double invstd = 1 / std::sqrt(variance + f.eps), scale = (f.gamma ? f.gamma[c] : 1.0) * invstd;
  const float center = float(mean);
  const double offset = mean - double(center);
  row(f.stats, f.planes, STATS_CENTER)[c] = center;
  row(f.stats, f.planes, STATS_SCALE)[c] = float(scale);
  row(f.stats, f.planes, STATS_SHIFT)[c] = float((f.beta ? f.beta[c] : 0.0) - offset * scale);
  row(f.stats, f.planes, STATS_INVSTD)[c] = float(invstd);
  row(f.stats, f.planes, STATS_OFFSET)[c] = float(offset);
  row(f.stats, f.planes, STATS_MEAN)[c] = center;
  row(f.stats, f.planes, STATS_VARIANCE)[c] = float(unbiased);
}

void set_channel(const NormForward& f, int64_t c, const Moments& m) {
  const double variance = m.squares / m.count;
  set_channel(f, c, m.mean, variance, m.count > 1 ? m.squares / (m.count - 1) : variance);
}

// Constants of a channel for one call, or of every position, spread out over `buffer`, for a wide one.
class Spread {
 public:
  Spread(const Planes& p, bool wide) : planes_(p), wide_(wide) {}
  const float* of(const float* per_channel) {
    if (!wide_ || planes_.inner == 1) return per_channel;
    buffers_.emplace_back(size_t(planes_.channels * planes_.inner));
    std::vector<float>& b = buffers_.back();
    for (size_t i = 0; i < b.size(); ++i) b[i] = per_channel[int64_t(i) / planes_.inner];
    return b.data();
  }

 private:
  Planes planes_;
  bool wide_;
  std::vector<std::vector<float>> buffers_;
};

// Whether to write a tensor past the caches: it is large, and a channel is long enough to fill whole lines.
bool too_large_to_keep(const Planes& p) { return p.total() >= bypass_floats; }

const float* at(const float* p, int64_t offset) { return p ? p + offset : nullptr; }
float* at(float* p, int64_t offset) { return p ? p + offset : nullptr; }

void apply(const NormForward& f, const NormPieces& walk, NormArgs args, int64_t c, int64_t piece, const Level& level) {
  const int64_t from = walk.place(c, piece, &args);
  args.step = NORM_APPLY;
  args.y = f.y + from;
  args.other = at(f.residual, from);
  args.out = f.z + from;
  args.bypass = too_large_to_keep(f.planes);
  level.norm(&args);
}

void narrow_forward(const NormForward& f, const NormPieces& walk, NormArgs args, const Level& level,
                    const Parallel& parallel) {
  const int64_t pieces = walk.pieces(), channels = f.planes.channels;
  const auto constants_of = [&](int64_t c) {
    NormArgs of = args;
    of.center += c, of.scale += c, of.shift += c;
    return of;
  };
  const auto moments_of = [&](int64_t c, int64_t piece, double* into) {
    NormArgs of = args;
    float near;
    double sums[2];
    const int64_t from = walk.place(c, piece, &of);
    of.step = NORM_MOMENTS, of.y = f.y + from, of.out = &near, of.sums = sums, of.sums_step = 1;
    level.norm(&of);
    const double n = double(of.runs * of.length), distance = sums[0] / n;
    into[0] = n, into[1] = double(near) + distance, into[2] = sums[1] - sums[0] * distance;
  };
  const bool measure = !f.mean;
  if (channels >= parallel.threads) {  // one task: a channel's second reading comes from the cache
    run_tasks(parallel, channels, [&](int64_t c) {
      if (measure) {
        Moments m;
        double p[3];
        for (int64_t piece = 0; piece < pieces; ++piece) moments_of(c, piece, p), m.add(p[0], p[1], p[2]);
        set_channel(f, c, m);
      }
      for (int64_t piece = pieces; piece-- > 0;) apply(f, walk, constants_of(c), c, piece, level);  // the last is nearest
      store_fence();
    });
    return;
  }
  if (measure) {
    std::vector<double> parts(size_t(3 * channels * pieces));
    run_tasks(parallel, channels * pieces, [&](int64_t i) { moments_of(i / pieces, i % pieces, &parts[size_t(3 * i)]); });
    for (int64_t c = 0; c < channels; ++c) {
      Moments m;
      for (int64_t i = c * pieces; i < (c + 1) * pieces; ++i)
        m.add(parts[size_t(3 * i)], parts[size_t(3 * i + 1)], parts[size_t(3 * i + 2)]);
      set_channel(f, c, m);
    }
  }
  run_tasks(parallel, channels * pieces,
            [&](int64_t i) {
              apply(f, walk, constants_of(i / pieces), i / pieces, i % pieces, level);
              store_fence();
            });
}

void wide_forward(const NormForward& f, const NormPieces& walk, NormArgs args, const Level& level, const Parallel& parallel) {
  const int64_t positions = walk.positions(), shares = walk.shares();
  if (!f.mean) {
    std::vector<Moments> parts(size_t(shares * positions));
    run_tasks(parallel, shares, [&](int64_t share) {
      std::vector<double> sums(size_t(2 * positions));
      std::vector<float> near(static_cast<size_t>(positions));
      NormArgs of = args;
      of.step = NORM_MOMENTS, of.out = near.data(), of.sums = sums.data(), of.sums_step = positions;
      for (int64_t piece = walk.first_piece(share); piece < walk.first_piece(share + 1); ++piece) {
        of.y = f.y + walk.place(0, piece, &of);
        level.norm(&of);
        for (int64_t i = 0; i < positions; ++i) {
          const double n = double(of.runs), s = sums[size_t(i)], distance = s / n;
          parts[size_t(share * positions + i)].add(n, near[size_t(i)] + distance,
                                                   sums[size_t(positions + i)] - s * distance);
        }
      }
    });
    for (int64_t c = 0; c < f.planes.channels; ++c) {
      Moments m;
      for (int64_t share = 0; share < shares; ++share)
        for (int64_t i = c * f.planes.inner; i < (c + 1) * f.planes.inner; ++i) {
          const Moments& part = parts[size_t(share * positions + i)];
          m.add(part.count, part.mean, part.squares);
        }
      set_channel(f, c, m);
    }
  }
  Spread spread(f.planes, true);
  args.center = spread.of(args.center), args.scale = spread.of(args.scale), args.shift = spread.of(args.shift);
  run_tasks(parallel, shares, [&](int64_t share) {
    for (int64_t piece = walk.first_piece(share); piece < walk.first_piece(share + 1); ++piece)
      apply(f, walk, args, 0, piece, level);
  });
}

// slope and level of the gradient (see kernels/norm.h) from the sums of g and of g * (y - center).
struct Slope {
  float slope, level;
};

Slope finish_channel(const NormBackward& b, int64_t c, double sum, double centred) {
  const double invstd = row(b.stats, b.planes, STATS_INVSTD)[c], scale = row(b.stats, b.planes, STATS_SCALE)[c];
  const double offset = row(b.stats, b.planes, STATS_OFFSET)[c], n = double(b.planes.per_channel());
  const double product = centred - offset * sum;  // sum of g * (y - mean)
  if (b.grad_gamma) b.grad_gamma[c] = float(product * invstd);
  if (b.grad_beta) b.grad_beta[c] = float(sum);
  if (!b.batch_statistics) return {0, 0};
  const double slope = -scale * invstd * invstd * product / n;
  return {float(slope), float(-scale * sum / n - slope * offset)};
}

void sums(const NormBackward& b, const NormPieces& walk, NormArgs args, int64_t c, int64_t piece, const Level& level) {
  const int64_t from = walk.place(c, piece, &args);
  args.step = NORM_SUMS;
  args.mask = b.mask;
  args.y = b.y + from, args.grad = b.grad + from, args.other = at(b.z, from), args.out = at(b.grad_residual, from);
  level.norm(&args);
}

void gradient(const NormBackward& b, const NormPieces& walk, NormArgs args, int64_t c, int64_t piece, const Level& level) {
  if (!b.grad_y) return;
  const int64_t from = walk.place(c, piece, &args);
  args.step = NORM_GRADIENT;
  args.mask = b.grad_residual ? MASK_NONE : b.mask;  // the first pass left the masked gradient there
  args.y = b.y + from, args.grad = (b.grad_residual ? b.grad_residual : b.grad) + from, args.out = b.grad_y + from;
  args.bypass = too_large_to_keep(b.planes);
  level.norm(&args);
}

void narrow_backward(const NormBackward& b, const NormPieces& walk, const NormArgs& args, const Level& level,
                     const Parallel& parallel) {
  const int64_t pieces = walk.pieces(), channels = b.planes.channels;
  const auto sums_of = [&](int64_t c, int64_t piece, double* into) {
    NormArgs of = args;
    of.center += c, of.scale += c, of.shift += c, of.sums = into, of.sums_step = 1;
    sums(b, walk, of, c, piece, level);
  };
  const auto gradient_of = [&](int64_t c, int64_t piece, const Slope& s) {
    NormArgs of = args;
    of.center += c, of.scale += c, of.shift += c, of.slope = &s.slope, of.level = &s.level;
    gradient(b, walk, of, c, piece, level);
  };
  if (channels >= parallel.threads) {
    run_tasks(parallel, channels, [&](int64_t c) {
      double sum = 0, centred = 0, p[2];
      for (int64_t piece = 0; piece < pieces; ++piece) sums_of(c, piece, p), sum += p[0], centred += p[1];
      const Slope s = finish_channel(b, c, sum, centred);
      for (int64_t piece = pieces; piece-- > 0;) gradient_of(c, piece, s);
      store_fence();
    });
    return;
  }
  std::vector<double> parts(size_t(2 * channels * pieces));
  std::vector<Slope> slopes(static_cast<size_t>(channels));
  run_tasks(parallel, channels * pieces, [&](int64_t i) { sums_of(i / pieces, i % pieces, &parts[size_t(2 * i)]); });
  for (int64_t c = 0; c < channels; ++c) {
    double sum = 0, centred = 0;
    for (int64_t i = c * pieces; i < (c + 1) * pieces; ++i) sum += parts[size_t(2 * i)], centred += parts[size_t(2 * i + 1)];
    slopes[size_t(c)] = finish_channel(b, c, sum, centred);
  }
  run_tasks(parallel, channels * pieces, [&](int64_t i) {
    gradient_of(i / pieces, i % pieces, slopes[size_t(i / pieces)]);
    store_fence();
  });
}

void wide_backward(const NormBackward& b, const NormPieces& walk, NormArgs args, const Level& level,
                   const Parallel& parallel) {
  const int64_t positions = walk.positions(), shares = walk.shares(), channels = b.planes.channels;
  Spread spread(b.planes, true);
  args.center = spread.of(args.center), args.scale = spread.of(args.scale), args.shift = spread.of(args.shift);
  std::vector<double> parts(size_t(shares * 2 * positions));
  run_tasks(parallel, shares, [&](int64_t share) {
    std::vector<double> now(size_t(2 * positions));
    NormArgs of = args;
    of.sums = now.data(), of.sums_step = positions;
    for (int64_t piece = walk.first_piece(share); piece < walk.first_piece(share + 1); ++piece) {
      sums(b, walk, of, 0, piece, level);
      for (size_t i = 0; i < now.size(); ++i) parts[size_t(share) * now.size() + i] += now[i];
    }
  });
  std::vector<float> slope(static_cast<size_t>(channels)), constant(static_cast<size_t>(channels));
  for (int64_t c = 0; c < channels; ++c) {
    double sum = 0, centred = 0;
    for (int64_t share = 0; share < shares; ++share)
      for (int64_t i = c * b.planes.inner; i < (c + 1) * b.planes.inner; ++i) {
        sum += parts[size_t(share * 2 * positions + i)];
        centred += parts[size_t(share * 2 * positions + positions + i)];
      }
    const Slope s = finish_channel(b, c, sum, centred);
    slope[size_t(c)] = s.slope, constant[size_t(c)] = s.level;
  }
  args.slope = spread.of(slope.data()), args.level = spread.of(constant.data());
  run_tasks(parallel, shares, [&](int64_t share) {
    for (int64_t piece = walk.first_piece(share); piece < walk.first_piece(share + 1); ++piece)
      gradient(b, walk, args, 0, piece, level);
  });
}

NormArgs arguments(const float* stats, const Planes& p, NormActivation activation) {
  NormArgs args{};
  args.center = row(stats, p, STATS_CENTER);
  args.scale = row(stats, p, STATS_SCALE);
  args.shift = row(stats, p, STATS_SHIFT);
  args.activation = activation;
  return args;
}

}  // namespace

void norm_forward(const NormForward& f, const Level& level, const Parallel& parallel) {
  if (f.planes.total() == 0) return;
  if (f.mean)
    for (int64_t c = 0; c < f.planes.channels; ++c) set_channel(f, c, f.mean[c], f.variance[c], f.variance[c]);
  const NormPieces walk(f.planes);
  const NormArgs args = arguments(f.stats, f.planes, f.activation);
  if (walk.wide())
    wide_forward(f, walk, args, level, parallel);
  else
    narrow_forward(f, walk, args, level, parallel);
}

void norm_backward(const NormBackward& b, const Level& level, const Parallel& parallel) {
  if (b.planes.total() == 0) return;
  const NormPieces walk(b.planes);
  const NormArgs args = arguments(b.stats, b.planes, b.activation);
  if (walk.wide())
    wide_backward(b, walk, args, level, parallel);
  else
    narrow_backward(b, walk, args, level, parallel);
}

}  // namespace tamis
