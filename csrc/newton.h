#pragma once
#include <stdint.h>

#include <vector>

namespace tamis {

// A function of `size` numbers that can be minimised.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual int64_t size() const = 0;
  // The value at theta; writes the gradient.
  virtual double evaluate(const double* theta, double* gradient) = 0;
};

class ConvexObjective : public Objective {
 public:
  // The full Hessian at the point that was evaluated last.
  virtual void hessian(double* out) = 0;
};

// Where a minimisation stopped, and whether no element of the gradient exceeds the tolerance there.
struct Minimum {
  std::vector<double> theta;
  double value = 0;
  bool converged = false;
  int64_t evaluations = 0;
};

// Damped Newton from 0, step for step as src/tamis/sources/_newton.py. On a separable pair the minimum lies at infinity, and
// the caps on steps and iterations leave a point with the same signs of the logits.
Minimum newton(ConvexObjective& objective, double tolerance);

// The largest absolute element.
double largest(const std::vector<double>& v);
double dot(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace tamis
