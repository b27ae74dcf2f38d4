#pragma once

namespace tamis {

// The line search of Moré and Thuente (ACM TOMS 20, 1994) for the strong Wolfe conditions, c1 = 1e-4 and c2 = .9, step for
// step as src/tamis/sources/_line_search.py.
class LineSearch {
 public:
  // Value and slope (negative) at length 0, and the first length to try.
  LineSearch(double value, double slope, double first);
  double length() const { return step_; }
  enum class State { evaluate, done, failed };
  // Takes value and slope at length(); `evaluate` asks for those at the new length().
  State advance(double value, double slope);

 private:
  void tilt(double slope);
  double interpolate(double f, double g);

  double value_, slope_, step_;
  double x_ = 0, f_x_, g_x_, y_ = 0, f_y_, g_y_;
  double low_ = 0, high_, width_, width_before_;
  bool closed_ = false, first_stage_ = true;
  int steps_ = 0;
};

}  // namespace tamis
