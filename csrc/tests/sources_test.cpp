// The passes over rows of data sources against loops that nobody can misread, the solvers against problems with a known
// answer, and pairs of sources: serial and threaded, to the last bit.
#include <cmath>
#include <cstring>
#include <vector>

#include "bfgs.h"
#include "check.h"
#include "crew.h"
#include "rows.h"
#include "source_packing.h"
#include "source_pairs.h"

using namespace tamis;
using tamis_test::Random;
using tamis_test::one;
using tamis_test::three;

namespace {

bool near(double a, double b, double tolerance) { return std::fabs(a - b) <= tolerance * (1 + std::fabs(b)); }

// Blocks of random numbers, the last one padded with zeros.
struct Blocks {
  int64_t rows, columns, blocks;
  std::vector<double> x, weight, target;
  Blocks(int64_t rows, int64_t columns, Random& random)
      : rows(rows), columns(columns), blocks((rows + LOGISTIC_ROWS - 1) / LOGISTIC_ROWS),
        x(size_t(blocks * columns * LOGISTIC_ROWS)), weight(size_t(blocks * LOGISTIC_ROWS)), target(weight.size()) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) x[place(r, c)] = random.value();
      weight[size_t(r)] = 0.01 + std::fabs(random.value());
      target[size_t(r)] = weight[size_t(r)] * double(random.below(2));
    }
  }
  size_t place(int64_t r, int64_t c) const {
    return size_t((r / LOGISTIC_ROWS * columns + c) * LOGISTIC_ROWS + r % LOGISTIC_ROWS);
  }
};

void logistic(const Level& level, Random& random, int number) {
  const Blocks b(random.between(1, 130), random.between(1, 19), random);
  const bool gap = number % 3 == 0, clipped = number % 2;
  const double reach = number % 5 == 0 ? 400 : 6, clip = clipped ? 20 : INFINITY;
  std::vector<double> coefficients(size_t(b.columns + 1));
  for (double& c : coefficients) c = reach * random.value();
  std::vector<double> partial(coefficients.size() * LOGISTIC_LANES, NAN), gradient(coefficients.size(), NAN);
  std::vector<double> logits(b.weight.size(), NAN), curvature(b.weight.size(), NAN), expected(coefficients.size(), 0.0);
  LogisticArgs a{b.x.data(), gap ? nullptr : b.weight.data(), b.target.data(), coefficients.data(), b.blocks, b.columns,
                 clip, logits.data(), gap ? nullptr : curvature.data(), partial.data(), gradient.data(), NAN};
  level.logistic(&a);
  double value = 0, scale = 1;
  for (int64_t r = 0; r < b.rows; ++r) {
    double z = coefficients[0];
    for (int64_t c = 0; c < b.columns; ++c) z += coefficients[size_t(c + 1)] * b.x[b.place(r, c)];
    CHECK(near(logits[size_t(r)], z, 1e-13 * reach), "%s logistic %d: logit %g, not %g", level.name, number, logits[size_t(r)], z);
    const double f = std::fmin(std::fmax(z, -clip), clip), e = std::exp(-std::fabs(f));
    const double sigmoid = f >= 0 ? 1 / (1 + e) : e / (1 + e), w = b.weight[size_t(r)], t = b.target[size_t(r)];
    value += gap ? t * sigmoid : w * (std::fmax(f, 0.0) + std::log1p(e)) - t * f;
    scale += std::fabs(f);
    const double residual = std::fabs(z) > clip ? 0 : gap ? t * sigmoid * (1 - sigmoid) : w * sigmoid - t;
    expected[0] += residual;
    for (int64_t c = 0; c < b.columns; ++c) expected[size_t(c + 1)] += residual * b.x[b.place(r, c)];
    const double slope = w * e / ((1 + e) * (1 + e));
    CHECK(gap || near(curvature[size_t(r)], slope, 1e-14 * reach), "%s logistic %d: curvature %g, not %g", level.name, number,
          curvature[size_t(r)], slope);
  }
  CHECK(std::fabs(a.value - value) <= 1e-13 * reach * scale, "%s logistic %d: value %.17g, not %.17g", level.name, number,
        a.value, value);
  for (size_t k = 0; k < expected.size(); ++k)
    CHECK(std::fabs(gradient[k] - expected[k]) <= 1e-12 * reach * double(b.rows), "%s logistic %d: gradient %zu is %g, not %g",
          level.name, number, k, gradient[k], expected[k]);
  for (size_t r = size_t(b.rows); r < curvature.size(); ++r)
    CHECK(gap || curvature[r] == 0, "%s logistic %d: padding has curvature", level.name, number);
}

// The exponential function and the logarithm, through the loss of a single row, from tiny to huge logits.
void one_row(const Level& level) {
  for (double z : {0.0, 1e-300, 1e-17, -1e-9, 0.5, -0.8813735870195430, 0.88137358701954305, 1.0, -3.0, 17.0, -36.0, 40.0,
                   -200.0, 699.0, -699.5, 1e4, -1e9, 1e300}) {
    std::vector<double> x(LOGISTIC_ROWS, 0.0), weight(LOGISTIC_ROWS, 0.0), target(LOGISTIC_ROWS, 0.0);
    std::vector<double> partial(2 * LOGISTIC_LANES), gradient(2);
    const double coefficients[2] = {0, z};
    x[0] = weight[0] = 1;
    LogisticArgs a{x.data(), weight.data(), target.data(), coefficients, 1, 1, INFINITY, nullptr, nullptr, partial.data(),
                   gradient.data(), 0};
    level.logistic(&a);
    const double loss = std::fmax(z, 0.0) + std::log1p(std::exp(-std::fabs(z)));
    const double sigmoid = z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z));
    CHECK(std::fabs(a.value - loss) <= 4e-16 * loss + 1e-300, "%s: loss at %g is %.17g, not %.17g", level.name, z, a.value, loss);
    CHECK(std::fabs(gradient[0] - sigmoid) <= 4e-16 * sigmoid + 1e-300, "%s: sigmoid at %g is %.17g, not %.17g", level.name, z,
          gradient[0], sigmoid);
  }
}

void gram(const Level& level, Random& random, int number) {
  const Blocks b(number == 0 ? 1200 : random.between(1, 200), random.between(1, 21), random);
  const size_t n = size_t(b.columns + 1);
  std::vector<double> partial(n * LOGISTIC_LANES, NAN), out(n * n, NAN);
  GramArgs a{b.x.data(), b.weight.data(), b.blocks, b.columns, partial.data(), out.data()};
  level.gram(&a);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t r = 0; r < b.rows; ++r)
        sum += b.weight[size_t(r)] * (i ? b.x[b.place(r, int64_t(i) - 1)] : 1) * (j ? b.x[b.place(r, int64_t(j) - 1)] : 1);
      CHECK(near(out[i * n + j], sum, 1e-13 * double(b.rows)), "%s gram %d: %zu %zu is %g, not %g", level.name, number, i, j,
            out[i * n + j], sum);
    }
}

// Rosenbrock's valley: its only minimum is (1, ..., 1).
class Valley : public Objective {
 public:
  int64_t size() const override { return 4; }
  double evaluate(const double* x, double* g) override {
    double value = 0;
    for (int i = 0; i < 4; ++i) g[i] = 0;
    for (int i = 0; i < 3; ++i) {
      const double bend = x[i + 1] - x[i] * x[i], rest = 1 - x[i];
      value += 100 * bend * bend + rest * rest;
      g[i] += -400 * bend * x[i] - 2 * rest, g[i + 1] += 200 * bend;
    }
    return value;
  }
};

// A bowl with a flat direction: Newton must leave that alone.
class Bowl : public ConvexObjective {
 public:
  int64_t size() const override { return 3; }
  double evaluate(const double* x, double* g) override {
    g[0] = 2 * (x[0] - 3), g[1] = 4 * std::pow(x[1] + 1, 3), g[2] = 0;
    at_ = x[1];
    return (x[0] - 3) * (x[0] - 3) + std::pow(x[1] + 1, 4);
  }
  void hessian(double* out) override {
    for (int i = 0; i < 9; ++i) out[i] = 0;
    out[0] = 2, out[4] = 12 * (at_ + 1) * (at_ + 1);
  }

 private:
  double at_ = 0;
};

void solvers() {
  Valley valley;
  const Minimum m = bfgs(valley, {-1.2, 1, -1.2, 1}, 1e-8, 500);
  CHECK(m.converged && m.evaluations < 200, "BFGS: %lld evaluations", (long long)m.evaluations);
  for (double x : m.theta) CHECK(std::fabs(x - 1) < 1e-6, "BFGS ends at %g", x);
  CHECK(!bfgs(valley, {-1.2, 1, -1.2, 1}, 1e-8, 3).converged, "three iterations do not suffice");
  Bowl bowl;
  const Minimum n = newton(bowl, 1e-9);
  CHECK(n.converged && std::fabs(n.theta[0] - 3) < 1e-6 && std::fabs(n.theta[1] + 1) < 1e-2 && n.theta[2] == 0,
        "Newton ends at %g %g %g", n.theta[0], n.theta[1], n.theta[2]);
}

void pairs(const Level& level, Random& random) {
  constexpr int64_t sources = 5, columns = 3;
  std::vector<double> rows, counts, statistics;
  std::vector<int64_t> row_ptr{0}, of;
  for (int64_t s = 0; s < sources; ++s) {
    const int64_t unique = random.between(20, 90);
    std::vector<double> mean(columns, 0.0), square(columns, 0.0);
    double size = 0;
    for (int64_t u = 0; u < unique; ++u) {
      double cell[4];
      for (int c = 0; c < 4; ++c) cell[c] = double(random.below(3)) + (c == u % 4), counts.push_back(cell[c]);
      const double repeats = cell[0] + cell[1] + cell[2] + cell[3];
      size += repeats;
      for (int64_t c = 0; c < columns; ++c) {
        // Columns follow the groups, in the last source the other way round.
        const double lean = cell[0] + cell[2] - cell[1] - cell[3], x = random.value() + (s == 4 ? -lean : lean);
        rows.push_back(x), mean[size_t(c)] += repeats * x, square[size_t(c)] += repeats * x * x;
      }
    }
    row_ptr.push_back(row_ptr.back() + unique);
    statistics.insert(statistics.end(), size_t(columns), 0.0);
    for (double& v : mean) statistics.push_back(v /= size);
    for (size_t c = 0; c < size_t(columns); ++c) statistics.push_back(square[c] / size - mean[c] * mean[c]);
    for (int64_t t = 0; t < s; ++t) of.push_back(t), of.push_back(s);
  }
  of.push_back(2), of.push_back(2);  // a source beside itself
  const int64_t count = int64_t(of.size() / 2);
  const PackedSources packed{rows.data(), counts.data(), row_ptr.data(), statistics.data(), sources, columns};
  const PairEstimates wanted{true, true, true, 1e-4, 500};
  std::vector<double> first(size_t(4 * count), NAN), second = first;
  std::vector<int64_t> failed(size_t(count), -1), failed_too = failed;
  source_pairs(packed, of.data(), count, wanted, level, one, first.data(), failed.data());
  source_pairs(packed, of.data(), count, wanted, level, three, second.data(), failed_too.data());
  CHECK(!std::memcmp(first.data(), second.data(), first.size() * sizeof(double)) && failed == failed_too,
        "%s: threads changed a bit", level.name);
  for (int64_t p = 0; p < count; ++p) {
    const double* const v = first.data() + 4 * p;
    CHECK(v[0] >= 0 && v[0] <= 1 && v[1] >= 0 && v[1] <= 2 && v[2] >= 0 && v[2] <= 1 && v[3] >= 0 && v[3] <= 1,
          "%s pair %lld: %g %g %g %g", level.name, (long long)p, v[0], v[1], v[2], v[3]);
    CHECK(failed[size_t(p)] == 0, "%s pair %lld: a fit hit a limit", level.name, (long long)p);
    const bool disagrees = of[size_t(2 * p)] == 4 || of[size_t(2 * p + 1)] == 4;
    CHECK(disagrees ? v[1] > 0.5 : v[1] < 0.5, "%s pair %lld: signed disparity %g", level.name, (long long)p, v[1]);
  }
  const double* const itself = first.data() + 4 * (count - 1);
  CHECK(itself[0] == 0 && itself[1] == 0 && itself[2] == 0, "%s: a source differs from itself", level.name);
  const PairEstimates some{false, true, false, 1e-4, 500};
  source_pairs(packed, of.data(), count, some, level, one, second.data(), failed_too.data());
  CHECK(std::isnan(second[0]) && second[1] == first[1] && std::isnan(second[2]), "%s: only what is wanted", level.name);
}

// Merging against comparing every row with every other; all hashes equal, so that rows meet in the table, every third time.
void merging(Random& random, int number) {
  const int64_t rows = random.between(1, 70), columns = random.between(1, 5);
  std::vector<double> x(size_t(rows * columns));
  std::vector<int64_t> cells;
  std::vector<uint64_t> multipliers;
  for (double& v : x) v = number % 2 ? double(random.below(2)) : random.value();
  for (int64_t r = 0; r < rows; ++r) cells.push_back(random.below(4));
  for (int64_t c = 0; c < columns; ++c) multipliers.push_back(number % 3 ? 0x9e3779b97f4a7c15u * uint64_t(2 * c + 1) : 0);
  const RawRows raw{x.data(), cells.data(), multipliers.data(), rows, columns};
  const UniqueRows found = unique_rows(raw);
  std::vector<double> counts(found.counts.size(), 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    int matches = 0;
    for (size_t u = 0; u < found.first.size(); ++u)
      if (!std::memcmp(&x[size_t(found.first[u] * columns)], &x[size_t(r * columns)], size_t(columns) * sizeof(double)))
        ++matches, counts[u * 4 + size_t(cells[size_t(r)])] += 1;
    CHECK(matches == 1, "merging %d: row %lld stands %d times among the unique ones", number, (long long)r, matches);
  }
  CHECK(counts == found.counts, "merging %d: counts", number);
  std::vector<double> centred(found.first.size() * size_t(columns), NAN), statistics(size_t(3 * columns), NAN);
  centre_rows(raw, found, centred.data(), statistics.data());
  for (int64_t c = 0; c < columns; ++c) {
    double mean = 0, square = 0;
    for (int64_t r = 0; r < rows; ++r) mean += x[size_t(r * columns + c)] / double(rows);
    for (int64_t r = 0; r < rows; ++r) square += std::pow(x[size_t(r * columns + c)] - mean, 2) / double(rows);
    CHECK(near(statistics[size_t(c)], mean, 1e-12) && near(statistics[size_t(2 * columns + c)], square, 1e-12),
          "merging %d: mean or variance of column %lld", number, (long long)c);
    CHECK(centred[size_t(c)] == x[size_t(found.first[0] * columns + c)] - statistics[size_t(c)], "merging %d: centre", number);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Level& level = tamis_test::row_of_command_line(argc, argv);
  Random random(5);
  for (int number = 0; number < 60; ++number) logistic(level, random, number), gram(level, random, number), merging(random, number);
  one_row(level);
  solvers();
  pairs(level, random);
  std::printf("sources %s: %d failures\n", level.name, tamis_test::failures());
  return tamis_test::failures() != 0;
}
