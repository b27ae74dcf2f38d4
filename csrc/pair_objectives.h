#pragma once
#include <vector>

#include "dispatch.h"
#include "newton.h"
#include "source_rows.h"

namespace tamis {

// Two sources in the coordinates of their common scaler, which is folded into the coefficients: no row is copied.
class PairOfSources {
 public:
  PairOfSources(const SourceRows& first, const SourceRows& second, int64_t columns, const Level& level);

  struct Decisions {
    double error, gap;  // share of wrong predictions; positive share of group 0 minus that of group 1
  };
  // Hard predictions at theta on one side; a logit within 1e-9 of 0 counts as 0.
  Decisions decisions(int side, const std::vector<double>& theta);

  int64_t size() const { return columns_ + 1; }
  const SourceRows& side(int s) const { return *sides_[s]; }

  // The sum of one side with its gradient, added to `value` and `gradient` in scaled coordinates. Without weights it is the
  // sum of target times sigmoid. With `keep` the curvature of the rows is kept for add_hessian.
  void add(int side, LossRows rows, double clip, const double* theta, bool keep, double* value, double* gradient);
  void add_hessian(int side, double* hessian);

 private:
  void fold(int side, const double* theta);

  const SourceRows* sides_[2];
  int64_t columns_;
  const Level& level_;
  std::vector<double> shift_[2], scale_, curvature_[2], coefficients_, raw_, partial_, logits_, gram_;
};

// Unpenalised logistic regression over both sides, one term each.
class ConvexPair : public ConvexObjective {
 public:
  ConvexPair(PairOfSources& pair, LossRows first, LossRows second) : pair_(pair), rows_{first, second} {}
  int64_t size() const override { return pair_.size(); }
  double evaluate(const double* theta, double* gradient) override;
  void hessian(double* out) override;

 private:
  PairOfSources& pair_;
  LossRows rows_[2];
};

// Ridge logistic regression (C = 1, intercept free) of 1[a = 0] on the rows of one side: where BFGS starts.
class RidgeStart : public ConvexObjective {
 public:
  RidgeStart(PairOfSources& pair, int side) : pair_(pair), side_(side) {}
  int64_t size() const override { return pair_.size(); }
  double evaluate(const double* theta, double* gradient) override;
  void hessian(double* out) override;

 private:
  PairOfSources& pair_;
  int side_;
};

// The published disparity: balanced cross-entropy on one side plus m^2 / sqrt(m^2 + 1e-8), m the gap of the other.
class PublishedPair : public Objective {
 public:
  PublishedPair(PairOfSources& pair, int loss) : pair_(pair), loss_(loss), gap_gradient_(size_t(pair.size())) {}
  int64_t size() const override { return pair_.size(); }
  double evaluate(const double* theta, double* gradient) override;

 private:
  PairOfSources& pair_;
  int loss_;
  std::vector<double> gap_gradient_;
};

}  // namespace tamis
