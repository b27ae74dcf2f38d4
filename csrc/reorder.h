#pragma once
#include "dispatch.h"
#include "tasks.h"

namespace tamis {

// A matrix (rows, cols) that lies by rows in one tensor and by columns in the other, `count` times.
struct Reorder {
  const float* src;
  float* dst;
  int64_t count, src_count_step, dst_count_step;
  int64_t rows, src_row_step;  // neighbours in dst
  int64_t cols, dst_col_step;  // neighbours in src
};

// Copies every matrix turned over.
void reorder(const Reorder& r, const Level& level, const Parallel& parallel);

}  // namespace tamis
