#include "line_search.h"

#include <algorithm>
#include <cmath>

namespace tamis {
namespace {

constexpr double decrease = 1e-4, curvature = 0.9, shortest = 1e-100, longest = 1e100, narrowest = 1e-14;
constexpr int most_steps = 100;

double root(double theta, double g_one, double g_two, bool negative, bool clip = false) {
  const double size = std::max({std::fabs(theta), std::fabs(g_one), std::fabs(g_two)});
  if (size == 0) return 0;
  const double inside = (theta / size) * (theta / size) - (g_one / size) * (g_two / size);
  const double gamma = size * std::sqrt(clip ? std::max(inside, 0.0) : inside);
  return negative ? -gamma : gamma;
}

}  // namespace

LineSearch::LineSearch(double value, double slope, double first)
    : value_(value), slope_(slope), step_(first), f_x_(value), g_x_(slope), f_y_(value), g_y_(slope), high_(5 * first),
      width_(longest - shortest), width_before_(2 * (longest - shortest)) {}

LineSearch::State LineSearch::advance(double f, double g) {
  const double test_slope = decrease * slope_, bound = value_ + step_ * test_slope;
  if (first_stage_ && f <= bound && g >= 0) first_stage_ = false;
  if (f <= bound && std::fabs(g) <= curvature * -slope_) return State::done;
  const auto exhausted = [&] { return closed_ && (step_ <= low_ || step_ >= high_ || high_ - low_ <= narrowest * high_); };
  if (!std::isfinite(f) || !std::isfinite(g) || ++steps_ >= most_steps || exhausted()) return State::failed;
  if ((step_ == longest && f <= bound && g <= test_slope) || (step_ == shortest && (f > bound || g >= test_slope)))
    return State::failed;
  if (first_stage_ && f <= f_x_ && f > bound) {
    // The decrease does not suffice yet: search on the function minus the required decrease.
    tilt(-test_slope);
    step_ = interpolate(f - step_ * test_slope, g - test_slope);
    tilt(test_slope);
  } else {
    step_ = interpolate(f, g);
  }
  if (closed_) {
    if (std::fabs(y_ - x_) >= 0.66 * width_before_) step_ = x_ + 0.5 * (y_ - x_);
    width_before_ = width_, width_ = std::fabs(y_ - x_);
    low_ = std::min(x_, y_), high_ = std::max(x_, y_);
  } else {
    low_ = step_ + 1.1 * (step_ - x_), high_ = step_ + 4 * (step_ - x_);
  }
  step_ = std::min(std::max(step_, shortest), longest);
  if (exhausted()) step_ = x_;
  return State::evaluate;
}

void LineSearch::tilt(double slope) {
  f_x_ += x_ * slope, g_x_ += slope, f_y_ += y_ * slope, g_y_ += slope;
}

// The next trial from cubic and quadratic interpolation, and the bracket brought up to date.
double LineSearch::interpolate(double f, double g) {
  const double step = step_;
  const bool opposite = g * std::copysign(1.0, g_x_) < 0;
  double best;
  if (f > f_x_) {  // higher: the minimum lies between
    const double theta = 3 * (f_x_ - f) / (step - x_) + g_x_ + g, gamma = root(theta, g_x_, g, step < x_);
    const double r = ((gamma - g_x_) + theta) / (((gamma - g_x_) + gamma) + g);
    const double cubic = x_ + r * (step - x_);
    const double quadratic = x_ + ((g_x_ / ((f_x_ - f) / (step - x_) + g_x_)) / 2) * (step - x_);
    best = std::fabs(cubic - x_) <= std::fabs(quadratic - x_) ? cubic : cubic + (quadratic - cubic) / 2;
    closed_ = true;
  } else if (opposite) {  // lower, slopes of opposite sign: the minimum lies between
    const double theta = 3 * (f_x_ - f) / (step - x_) + g_x_ + g, gamma = root(theta, g_x_, g, step > x_);
    const double r = ((gamma - g) + theta) / (((gamma - g) + gamma) + g_x_);
    const double cubic = step + r * (x_ - step), secant = step + (g / (g - g_x_)) * (x_ - step);
    best = std::fabs(cubic - step) > std::fabs(secant - step) ? cubic : secant;
    closed_ = true;
  } else if (std::fabs(g) < std::fabs(g_x_)) {  // lower, same sign, flatter
    const double theta = 3 * (f_x_ - f) / (step - x_) + g_x_ + g, gamma = root(theta, g_x_, g, step > x_, true);
    const double r = ((gamma - g) + theta) / ((gamma + (g_x_ - g)) + gamma);
    const double cubic = r < 0 && gamma != 0 ? step + r * (x_ - step) : step > x_ ? high_ : low_;
    const double secant = step + (g / (g - g_x_)) * (x_ - step);
    if (closed_) {
      best = std::fabs(cubic - step) < std::fabs(secant - step) ? cubic : secant;
      const double limit = step + 0.66 * (y_ - step);
      best = step > x_ ? std::min(limit, best) : std::max(limit, best);
    } else {
      best = std::fabs(cubic - step) > std::fabs(secant - step) ? cubic : secant;
      best = std::min(std::max(best, low_), high_);
    }
  } else if (closed_) {  // lower, same sign, not flatter
    const double theta = 3 * (f - f_y_) / (y_ - step) + g_y_ + g, gamma = root(theta, g_y_, g, step > y_);
    const double r = ((gamma - g) + theta) / (((gamma - g) + gamma) + g_y_);
    best = step + r * (y_ - step);
  } else {
    best = step > x_ ? high_ : low_;
  }
  if (f > f_x_) {
    y_ = step, f_y_ = f, g_y_ = g;
  } else {
    if (opposite) y_ = x_, f_y_ = f_x_, g_y_ = g_x_;
    x_ = step, f_x_ = f, g_x_ = g;
  }
  return best;
}

}  // namespace tamis
