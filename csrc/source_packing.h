#pragma once
#include <stdint.h>

#include <vector>

namespace tamis {

// Rows of one source as they come: x row-major (rows, columns), finite; cells[r] = 2 y + a, 0 to 3.
struct RawRows {
  const double* x;
  const int64_t* cells;
  const uint64_t* multipliers;  // (columns), odd: of the hash
  int64_t rows, columns;
};

// The unique rows: where each stands first, and how often it occurs in each of the 4 cells. Their order depends on the
// content of the rows only, not on their order. A negative zero equals zero.
struct UniqueRows {
  std::vector<int64_t> first;
  std::vector<double> counts;  // (unique, 4)
};

UniqueRows unique_rows(const RawRows& raw);

// What src/tamis/sources/_merging.py describes: writes the unique rows minus their centre to `rows` (unique, columns), and
// centre, mean and variance of every column to `statistics` (3, columns).
void centre_rows(const RawRows& raw, const UniqueRows& unique, double* rows, double* statistics);

}  // namespace tamis
