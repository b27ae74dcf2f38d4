#pragma once
#include <stdint.h>

#include <vector>

#include "kernels/logistic.h"
#include "tasks.h"

namespace tamis {

// The unique rows of data sources as they come from outside: what src/tamis/sources/_packing.py describes.
struct PackedSources {
  const double* rows;        // (U, columns), centred per source
  const double* counts;      // (U, 4): how often each row occurs with (y, a) = (0, 0), (0, 1), (1, 0), (1, 1)
  const int64_t* row_ptr;    // (sources + 1): source s owns rows row_ptr[s] to row_ptr[s + 1]
  const double* statistics;  // (sources, 3, columns): centre, mean and variance of every column
  int64_t sources, columns;
};

// Row weights and targets of the loss sum(weight * log(1 + e^z) - target * z), one number per row.
struct LossRows {
  const double *weight, *target;
};

// One source in blocks (csrc/kernels/logistic.h), with what each objective weighs its rows by.
struct SourceRows {
  int64_t unique, blocks;
  double size, of_group[2];
  const double *x, *counts, *centre, *mean, *variance;
  LossRows label, label_flipped;  // mean cross-entropy with target y, and with 1 - y
  LossRows group, group_flipped;  // half the mean of each group, target 1[a = 0], and 1[a = 1]
  LossRows group_sum;             // plain sum, target 1[a = 0]
  const double* gap;              // 1 / n_0 for rows of group 0, -1 / n_1 for those of group 1
};

// All sources in blocks, copied once. Counts and statistics stay where they are.
class SourceBlocks {
 public:
  SourceBlocks(const PackedSources& packed, const Parallel& parallel);
  const SourceRows& operator[](int64_t source) const { return sources_[static_cast<size_t>(source)]; }
  int64_t columns() const { return columns_; }
  int64_t most_rows() const { return most_rows_; }  // of one source, with padding

 private:
  int64_t columns_, most_rows_ = 0;
  std::vector<SourceRows> sources_;
  std::vector<double> memory_;
};

}  // namespace tamis
