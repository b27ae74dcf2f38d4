// Packing and comparing data sources as operations of torch: checks, then csrc/source_packing.h and csrc/source_pairs.h.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "pattern.h"
#include "source_packing.h"
#include "source_pairs.h"
#include "torch_images.h"

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

namespace {

using namespace tamis;

// The bound keeps every product of sizes, in bytes, inside 64 bits.
constexpr int64_t most = int64_t(1) << 24;

void check(const Tensor& t, ScalarType type, int64_t dims, const char* what) {
  STD_TORCH_CHECK(t.scalar_type() == type && t.dim() == dims && t.is_contiguous(), "tamis: ", what,
                  " has the wrong type, number of dimensions or layout");
}

const double* doubles(const Tensor& t) { return static_cast<const double*>(t.const_data_ptr()); }
const int64_t* integers(const Tensor& t) { return static_cast<const int64_t*>(t.const_data_ptr()); }

// No threads but the calling one: for a process among many.
Parallel calling_thread() {
  return {1, [](int64_t tasks, void* context, void (*body)(void*, int64_t, int64_t)) { body(context, 0, tasks); }};
}

PackedSources packed_sources(const Tensor& rows, const Tensor& counts, const Tensor& row_ptr, const Tensor& statistics) {
  check(rows, ScalarType::Double, 2, "rows");
  check(counts, ScalarType::Double, 2, "counts");
  check(row_ptr, ScalarType::Long, 1, "row_ptr");
  check(statistics, ScalarType::Double, 3, "statistics");
  const int64_t columns = rows.size(1), sources = row_ptr.numel() - 1;
  STD_TORCH_CHECK(columns > 0 && columns < (int64_t(1) << 16) && sources > 0 && sources < most &&
                      rows.size(0) < (int64_t(1) << 40) / columns,
                  "tamis: sources or columns out of range");
  STD_TORCH_CHECK(counts.size(0) == rows.size(0) && counts.size(1) == 4, "tamis: counts must be (rows, 4)");
  STD_TORCH_CHECK(statistics.size(0) == sources && statistics.size(1) == 3 && statistics.size(2) == columns,
                  "tamis: statistics must be (sources, 3, columns)");
  const int64_t* const ptr = integers(row_ptr);
  STD_TORCH_CHECK(rows_rise(ptr, sources, rows.size(0)), "tamis: row_ptr does not rise from 0 to the number of rows");
  for (int64_t s = 0; s < sources; ++s) STD_TORCH_CHECK(ptr[s] < ptr[s + 1], "tamis: a source has no rows");
  return {doubles(rows), doubles(counts), ptr, doubles(statistics), sources, columns};
}

// Every row of a source counts at least once; whoever has no group must not be asked about groups.
void check_counts(const PackedSources& packed, const std::vector<bool>& asked) {
  for (int64_t s = 0; s < packed.sources; ++s) {
    double group[2] = {0, 0};
    for (int64_t u = packed.row_ptr[s]; u < packed.row_ptr[s + 1]; ++u) {
      const double* const n = packed.counts + u * 4;
      bool good = n[0] + n[1] + n[2] + n[3] > 0;
      for (int cell = 0; cell < 4; ++cell) good = good && n[cell] >= 0 && n[cell] < 9e15, group[cell & 1] += n[cell];
      STD_TORCH_CHECK(good, "tamis: counts must be whole numbers from 0, some of each row above");
    }
    STD_TORCH_CHECK(!asked[size_t(s)] || (group[0] > 0 && group[1] > 0),
                    "tamis: a source without rows of both groups has no disparity");
  }
}

std::tuple<Tensor, Tensor> compare_pairs(const Tensor& rows, const Tensor& counts, const Tensor& row_ptr,
                                         const Tensor& statistics, const Tensor& pairs, std::vector<int64_t> what,
                                         double gtol, int64_t max_iter, bool threads) {
  const PackedSources packed = packed_sources(rows, counts, row_ptr, statistics);
  check(pairs, ScalarType::Long, 2, "pairs");
  STD_TORCH_CHECK(pairs.size(1) == 2, "tamis: pairs must be (pairs, 2)");
  STD_TORCH_CHECK(what.size() == 3, "tamis: what must be 3 integers: discrepancy, signed and published disparity");
  STD_TORCH_CHECK(gtol > 0 && std::isfinite(gtol) && max_iter > 0, "tamis: gtol and max_iter must be positive");
  const PairEstimates wanted{what[0] != 0, what[1] != 0, what[2] != 0, gtol, max_iter};
  const int64_t count = pairs.size(0);
  const int64_t* const of = integers(pairs);
  std::vector<bool> asked(size_t(packed.sources), false);
  for (int64_t k = 0; k < 2 * count; ++k) {
    STD_TORCH_CHECK(of[k] >= 0 && of[k] < packed.sources, "tamis: a pair names source ", of[k], " of ", packed.sources);
    asked[size_t(of[k])] = wanted.signed_disparity || wanted.published_disparity;
  }
  check_counts(packed, asked);
  Tensor values = torch::stable::new_empty(rows, {count, 4}), failed = torch::stable::new_empty(row_ptr, {count});
  source_pairs(packed, of, count, wanted, level(), threads ? torch_threads() : calling_thread(),
               static_cast<double*>(values.mutable_data_ptr()), static_cast<int64_t*>(failed.mutable_data_ptr()));
  return {values, failed};
}

std::tuple<Tensor, Tensor, Tensor> merge_rows(const Tensor& x, const Tensor& cells, const Tensor& multipliers) {
  check(x, ScalarType::Double, 2, "x");
  check(cells, ScalarType::Long, 1, "cells");
  check(multipliers, ScalarType::Long, 1, "multipliers");
  const int64_t rows = x.size(0), columns = x.size(1);
  STD_TORCH_CHECK(rows > 0 && columns > 0 && columns < (int64_t(1) << 16) && rows < (int64_t(1) << 40) / columns,
                  "tamis: rows or columns out of range");
  STD_TORCH_CHECK(cells.numel() == rows && multipliers.numel() == columns,
                  "tamis: one cell for each row and one multiplier for each column are needed");
  const int64_t* const cell = integers(cells);
  for (int64_t r = 0; r < rows; ++r) STD_TORCH_CHECK(cell[r] >= 0 && cell[r] < 4, "tamis: a cell is none of 0 to 3");
  const RawRows raw{doubles(x), cell, reinterpret_cast<const uint64_t*>(integers(multipliers)), rows, columns};
  const UniqueRows unique = unique_rows(raw);
  const int64_t count = int64_t(unique.first.size());
  Tensor merged = torch::stable::new_empty(x, {count, columns}), counts = torch::stable::new_empty(x, {count, 4}),
         statistics = torch::stable::new_empty(x, {3, columns});
  std::copy(unique.counts.begin(), unique.counts.end(), static_cast<double*>(counts.mutable_data_ptr()));
  centre_rows(raw, unique, static_cast<double*>(merged.mutable_data_ptr()),
              static_cast<double*>(statistics.mutable_data_ptr()));
  return {merged, counts, statistics};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(tamis, m) {
  m.def(
      "source_pairs(Tensor rows, Tensor counts, Tensor row_ptr, Tensor statistics, Tensor pairs, int[] what, float gtol, "
      "int max_iter, bool threads) -> (Tensor, Tensor)");
  m.def("merge_rows(Tensor x, Tensor cells, Tensor multipliers) -> (Tensor, Tensor, Tensor)");
}
STABLE_TORCH_LIBRARY_IMPL(tamis, CPU, m) {
  m.impl("source_pairs", TORCH_BOX(&compare_pairs));
  m.impl("merge_rows", TORCH_BOX(&merge_rows));
}
