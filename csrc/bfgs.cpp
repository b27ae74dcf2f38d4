#include "bfgs.h"

#include <algorithm>
#include <cmath>

#include "line_search.h"

namespace tamis {

Minimum bfgs(Objective& objective, const std::vector<double>& start, double tolerance, int64_t most_iterations) {
  const size_t n = start.size();
  Minimum m{start, 0, false, 1};
  std::vector<double> gradient(n), inverse(n * n, 0.0), direction(n), trial(n), trial_gradient(n), step(n), change(n), moved(n);
  for (size_t i = 0; i < n; ++i) inverse[i * n + i] = 1;
  m.value = objective.evaluate(m.theta.data(), gradient.data());
  double before = m.value + std::sqrt(dot(gradient, gradient)) / 2;
  const auto times_inverse = [&](const std::vector<double>& v, std::vector<double>& out) {
    for (size_t i = 0; i < n; ++i) {
      double sum = 0;
      for (size_t j = 0; j < n; ++j) sum += inverse[i * n + j] * v[j];
      out[i] = sum;
    }
  };
  for (int64_t iteration = 0; iteration < most_iterations && largest(gradient) > tolerance; ++iteration) {
    times_inverse(gradient, direction);
    for (double& d : direction) d = -d;
    const double slope = dot(gradient, direction);
    if (!(slope < 0)) break;
    const double first = std::min(1.0, 2.02 * (m.value - before) / slope);
    LineSearch search(m.value, slope, first > 0 ? first : 1.0);
    LineSearch::State state = LineSearch::State::evaluate;
    double value = 0;
    while (state == LineSearch::State::evaluate) {
      for (size_t i = 0; i < n; ++i) trial[i] = m.theta[i] + search.length() * direction[i];
      value = objective.evaluate(trial.data(), trial_gradient.data());
      ++m.evaluations;
      state = search.advance(value, dot(trial_gradient, direction));
    }
    if (state == LineSearch::State::failed) break;
    for (size_t i = 0; i < n; ++i) step[i] = trial[i] - m.theta[i], change[i] = trial_gradient[i] - gradient[i];
    before = m.value, m.value = value;
    m.theta.swap(trial), gradient.swap(trial_gradient);
    const double curvature = dot(change, step), rho = curvature != 0 ? 1 / curvature : 1000.0;
    times_inverse(change, moved);
    const double outer = rho * rho * dot(change, moved) + rho;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j)
        inverse[i * n + j] += outer * step[i] * step[j] - rho * (step[i] * moved[j] + moved[i] * step[j]);
  }
  m.converged = largest(gradient) <= tolerance;
  return m;
}

}  // namespace tamis
