#include "pair_objectives.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tamis {
namespace {

constexpr double no_clip = std::numeric_limits<double>::infinity(), clip = 20, smooth = 1e-8, zero_logit = 1e-9;

}  // namespace

PairOfSources::PairOfSources(const SourceRows& first, const SourceRows& second, int64_t columns, const Level& level)
    : sides_{&first, &second}, columns_(columns), level_(level), scale_(size_t(columns)), coefficients_(size_t(columns + 1)),
      raw_(size_t(columns + 1)), partial_(size_t((columns + 1) * LOGISTIC_LANES)), gram_(size_t((columns + 1) * (columns + 1))) {
  // Mean and variance of the stacked rows from those of the two (Chan, Golub, LeVeque 1979).
  const double share = second.size / (first.size + second.size);
  for (int s = 0; s < 2; ++s) {
    shift_[s].resize(size_t(columns));
    curvature_[s].resize(size_t(sides_[s]->blocks * LOGISTIC_ROWS));
  }
  logits_.resize(std::max(curvature_[0].size(), curvature_[1].size()));
  for (size_t k = 0; k < size_t(columns); ++k) {
    const double gap = (second.centre[k] - first.centre[k]) + (second.mean[k] - first.mean[k]);
    const double variance = (1 - share) * first.variance[k] + share * second.variance[k] + share * (1 - share) * gap * gap;
    scale_[k] = variance > 0 ? std::sqrt(variance) : 1;
    shift_[0][k] = first.mean[k] + share * gap;
    shift_[1][k] = second.mean[k] - (1 - share) * gap;
  }
}

void PairOfSources::fold(int side, const double* theta) {
  double intercept = theta[0];
  for (size_t k = 0; k < size_t(columns_); ++k) {
    coefficients_[k + 1] = theta[k + 1] / scale_[k];
    intercept -= shift_[side][k] * coefficients_[k + 1];
  }
  coefficients_[0] = intercept;
}

void PairOfSources::add(int side, LossRows rows, double clip, const double* theta, bool keep, double* value, double* gradient) {
  fold(side, theta);
  LogisticArgs a{sides_[side]->x,       rows.weight,  rows.target,
                 coefficients_.data(),  sides_[side]->blocks, columns_,
                 clip,                  nullptr,      keep ? curvature_[side].data() : nullptr,
                 partial_.data(),       raw_.data(),  0};
  level_.logistic(&a);
  *value += a.value;
  gradient[0] += raw_[0];
  for (size_t k = 0; k < size_t(columns_); ++k)
    gradient[k + 1] += (raw_[k + 1] - shift_[side][k] * raw_[0]) / scale_[k];
}

void PairOfSources::add_hessian(int side, double* hessian) {
  const size_t n = size_t(columns_) + 1;
  GramArgs a{sides_[side]->x, curvature_[side].data(), sides_[side]->blocks, columns_, partial_.data(), gram_.data()};
  level_.gram(&a);
  const std::vector<double>& shift = shift_[side];
  const auto scaled = [&](size_t i, size_t j) {
    const double raw = gram_[i * n + j];
    if (j == 0) return i == 0 ? raw : (raw - shift[i - 1] * gram_[0]) / scale_[i - 1];
    const double one = gram_[i * n] - shift[i - 1] * gram_[0];  // column of the intercept
    return (raw - shift[i - 1] * gram_[j] - shift[j - 1] * one) / (scale_[i - 1] * scale_[j - 1]);
  };
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j) {
      const double entry = scaled(i, j);
      hessian[i * n + j] += entry;
      if (i != j) hessian[j * n + i] += entry;
    }
}

PairOfSources::Decisions PairOfSources::decisions(int side, const std::vector<double>& theta) {
  const SourceRows& s = *sides_[side];
  fold(side, theta.data());
  LogisticArgs a{s.x, s.label.weight, s.label.target, coefficients_.data(), s.blocks, columns_, no_clip, logits_.data(),
                 nullptr, partial_.data(), raw_.data(), 0};
  level_.logistic(&a);
  double wrong = 0, positive[2] = {0, 0};  // whole numbers: exact in any order
  for (int64_t u = 0; u < s.unique; ++u) {
    const double* const n = s.counts + u * 4;
    if (logits_[size_t(u)] >= -zero_logit)
      wrong += n[0] + n[1], positive[0] += n[0] + n[2], positive[1] += n[1] + n[3];
    else
      wrong += n[2] + n[3];
  }
  return {wrong / s.size, positive[0] / s.of_group[0] - positive[1] / s.of_group[1]};
}

double ConvexPair::evaluate(const double* theta, double* gradient) {
  double value = 0;
  std::fill(gradient, gradient + size(), 0.0);
  for (int s = 0; s < 2; ++s) pair_.add(s, rows_[s], no_clip, theta, true, &value, gradient);
  return value;
}

void ConvexPair::hessian(double* out) {
  std::fill(out, out + size() * size(), 0.0);
  for (int s = 0; s < 2; ++s) pair_.add_hessian(s, out);
}

double RidgeStart::evaluate(const double* theta, double* gradient) {
  double value = 0;
  std::fill(gradient, gradient + size(), 0.0);
  pair_.add(side_, pair_.side(side_).group_sum, no_clip, theta, true, &value, gradient);
  for (int64_t k = 1; k < size(); ++k) value += 0.5 * theta[k] * theta[k], gradient[k] += theta[k];
  return value;
}

void RidgeStart::hessian(double* out) {
  std::fill(out, out + size() * size(), 0.0);
  pair_.add_hessian(side_, out);
  for (int64_t k = 1; k < size(); ++k) out[k * size() + k] += 1;
}

double PublishedPair::evaluate(const double* theta, double* gradient) {
  double value = 0, m = 0;
  std::fill(gradient, gradient + size(), 0.0);
  std::fill(gap_gradient_.begin(), gap_gradient_.end(), 0.0);
  pair_.add(loss_, pair_.side(loss_).group, clip, theta, false, &value, gradient);
  pair_.add(1 - loss_, {nullptr, pair_.side(1 - loss_).gap}, clip, theta, false, &m, gap_gradient_.data());
  const double root = std::sqrt(m * m + smooth), slope = m * (m * m + 2 * smooth) / (root * root * root);
  for (int64_t k = 0; k < size(); ++k) gradient[k] += slope * gap_gradient_[size_t(k)];
  return value + m * m / root;
}

}  // namespace tamis
