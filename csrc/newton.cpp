#include "newton.h"

#include <algorithm>
#include <cmath>

namespace tamis {
namespace {

constexpr double longest_step = 25, sufficient_decrease = 1e-4, ridge = 1e-9, rounding = 1e-12;
constexpr int most_iterations = 60, most_halvings = 40;

// Replaces `step`, which holds the gradient, by -(H + ridge)^-1 gradient; false if that has no Cholesky factor. Destroys H.
bool solve(std::vector<double>& hessian, std::vector<double>& step) {
  const size_t n = step.size();
  double most = 0;
  for (size_t i = 0; i < n; ++i) most = std::max(most, hessian[i * n + i]);
  if (!(most > 0)) return false;
  for (size_t i = 0; i < n; ++i) {
    hessian[i * n + i] += ridge * most;
    for (size_t j = 0; j <= i; ++j) {
      double rest = hessian[i * n + j];
      for (size_t k = 0; k < j; ++k) rest -= hessian[i * n + k] * hessian[j * n + k];
      if (i == j && !(rest > 0)) return false;
      hessian[i * n + j] = i == j ? std::sqrt(rest) : rest / hessian[j * n + j];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) step[i] -= hessian[i * n + k] * step[k];
    step[i] /= hessian[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) step[i] -= hessian[k * n + i] * step[k];
    step[i] /= hessian[i * n + i];
  }
  for (double& s : step) s = -s;
  return true;
}

}  // namespace

double largest(const std::vector<double>& v) {
  double most = 0;
  for (double x : v) most = std::isnan(x) ? INFINITY : std::max(most, std::fabs(x));
  return most;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

Minimum newton(ConvexObjective& objective, double tolerance) {
  const size_t n = static_cast<size_t>(objective.size());
  Minimum m{std::vector<double>(n, 0.0), 0, false, 1};
  std::vector<double> gradient(n), hessian(n * n), step, trial(n), trial_gradient(n);
  m.value = objective.evaluate(m.theta.data(), gradient.data());
  for (int iteration = 0; iteration < most_iterations && largest(gradient) > tolerance; ++iteration) {
    objective.hessian(hessian.data());
    step = gradient;
    if (!solve(hessian, step)) break;
    const double norm = std::sqrt(dot(step, step));
    if (norm > longest_step)
      for (double& s : step) s *= longest_step / norm;
    const double slope = dot(gradient, step);
    double length = 1, value = 0;
    int halvings = 0;
    for (; halvings < most_halvings; ++halvings, length /= 2) {
      for (size_t i = 0; i < n; ++i) trial[i] = m.theta[i] + length * step[i];
      value = objective.evaluate(trial.data(), trial_gradient.data());
      ++m.evaluations;
      if (value <= m.value + sufficient_decrease * length * slope + rounding * std::fabs(m.value)) break;
    }
    if (halvings == most_halvings) break;
    m.theta.swap(trial), gradient.swap(trial_gradient), m.value = value;
  }
  m.converged = largest(gradient) <= tolerance;
  return m;
}

}  // namespace tamis
