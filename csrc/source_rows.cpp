#include "source_rows.h"

#include <algorithm>

namespace tamis {
namespace {

constexpr int64_t numbers_per_row = 9;  // beside its columns: weights and targets
constexpr int64_t slack = LOGISTIC_LANES;

// Copies rows into blocks and forms weights and targets, all of it at `memory`.
SourceRows place(const PackedSources& packed, int64_t s, double* memory) {
  const int64_t first = packed.row_ptr[s], unique = packed.row_ptr[s + 1] - first, columns = packed.columns;
  const int64_t blocks = (unique + LOGISTIC_ROWS - 1) / LOGISTIC_ROWS, rows = blocks * LOGISTIC_ROWS;
  const double* const statistics = packed.statistics + s * 3 * columns;
  SourceRows r{};
  r.unique = unique, r.blocks = blocks;
  r.counts = packed.counts + first * 4;
  r.centre = statistics, r.mean = statistics + columns, r.variance = statistics + 2 * columns;
  for (int64_t u = 0; u < unique; ++u)
    for (int cell = 0; cell < 4; ++cell) r.size += r.counts[u * 4 + cell], r.of_group[cell & 1] += r.counts[u * 4 + cell];

  double* x = memory;
  for (int64_t u = 0; u < unique; ++u)
    for (int64_t k = 0; k < columns; ++k)
      x[(u / LOGISTIC_ROWS * columns + k) * LOGISTIC_ROWS + u % LOGISTIC_ROWS] = packed.rows[(first + u) * columns + k];
  r.x = x;
  double* next = memory + rows * columns;
  const auto column = [&](auto&& of_row) {
    double* const values = next;
    next += rows;
    for (int64_t u = 0; u < unique; ++u) values[u] = of_row(r.counts + u * 4);
    return values;
  };
  // A source that lacks a group is not asked about groups; its weights there must only be finite.
  const double zero = r.of_group[0] > 0 ? 1 / r.of_group[0] : 0, one = r.of_group[1] > 0 ? 1 / r.of_group[1] : 0;
  const double* const mean = column([&](const double* n) { return (n[0] + n[1] + n[2] + n[3]) / r.size; });
  const double* const positive = column([&](const double* n) { return (n[2] + n[3]) / r.size; });
  const double* const negative = column([&](const double* n) { return (n[0] + n[1]) / r.size; });
  const double* const balanced = column([&](const double* n) { return 0.5 * ((n[0] + n[2]) * zero + (n[1] + n[3]) * one); });
  const double* const in_zero = column([&](const double* n) { return 0.5 * (n[0] + n[2]) * zero; });
  const double* const in_one = column([&](const double* n) { return 0.5 * (n[1] + n[3]) * one; });
  const double* const number = column([&](const double* n) { return n[0] + n[1] + n[2] + n[3]; });
  const double* const number_zero = column([&](const double* n) { return n[0] + n[2]; });
  r.gap = column([&](const double* n) { return (n[0] + n[2]) * zero - (n[1] + n[3]) * one; });
  r.label = {mean, positive}, r.label_flipped = {mean, negative};
  r.group = {balanced, in_zero}, r.group_flipped = {balanced, in_one};
  r.group_sum = {number, number_zero};
  return r;
}

}  // namespace

SourceBlocks::SourceBlocks(const PackedSources& packed, const Parallel& parallel)
    : columns_(packed.columns), sources_(static_cast<size_t>(packed.sources)) {
  std::vector<int64_t> begin(sources_.size() + 1, 0);
  for (int64_t s = 0; s < packed.sources; ++s) {
    const int64_t unique = packed.row_ptr[s + 1] - packed.row_ptr[s];
    const int64_t rows = (unique + LOGISTIC_ROWS - 1) / LOGISTIC_ROWS * LOGISTIC_ROWS;
    begin[size_t(s) + 1] = begin[size_t(s)] + rows * (columns_ + numbers_per_row) + slack;
    most_rows_ = std::max(most_rows_, rows);
  }
  memory_.assign(static_cast<size_t>(begin.back()), 0.0);
  run_tasks(parallel, packed.sources,
            [&](int64_t s) { sources_[size_t(s)] = place(packed, s, memory_.data() + begin[size_t(s)]); });
}

}  // namespace tamis
