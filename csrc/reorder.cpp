#include "reorder.h"

#include <algorithm>
#include <vector>

namespace tamis {
namespace {

// Columns of one piece: what it writes stays in L2 until all its rows have passed.
constexpr int64_t piece_floats = 32 * 1024;

std::vector<int64_t> steps(int64_t count, int64_t step) {
  std::vector<int64_t> offsets(static_cast<std::size_t>(count));
  for (int64_t i = 0; i < count; ++i) offsets[static_cast<std::size_t>(i)] = i * step;
  return offsets;
}

}  // namespace

void reorder(const Reorder& r, const Level& level, const Parallel& parallel) {
  if (r.count <= 0 || r.rows <= 0 || r.cols <= 0) return;
  const std::vector<int64_t> rows = steps(r.rows, r.src_row_step), cols = steps(r.cols, r.dst_col_step);
  const int64_t piece = std::clamp<int64_t>(piece_floats / r.rows / 16 * 16, 16, std::max<int64_t>(r.cols, 16));
  const int64_t pieces = (r.cols + piece - 1) / piece;
  run_tasks(parallel, r.count * pieces, [&](int64_t task) {
    const int64_t matrix = task / pieces, first = task % pieces * piece, width = std::min(piece, r.cols - first);
    TransposeArgs a{r.src + matrix * r.src_count_step + first,
                    r.dst + matrix * r.dst_count_step,
                    rows.data(),
                    cols.data() + first,
                    r.rows,
                    width,
                    r.rows,
                    r.cols - first,
                    0,
                    piece,
                    0};
    level.transpose(&a);
  });
}

}  // namespace tamis
