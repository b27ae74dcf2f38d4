// Linear layers of one input.
//
//   for groups, shares of their outputs      a task of the thread pool
//     kernels/vector.cpp
//
// Two inputs and more lie side by side in a vector, the rest of which stays empty (driver.cpp): for each weight a whole
// vector is read from L2, however many inputs there are. One input by itself stays in L1, and takes half as long.
#include "linear.h"

#include <algorithm>

#include "tasks.h"

namespace tamis {

bool is_one_vector(const Product& p) {
  const bool single = p.src.images * p.src.rows * p.src.cols == 1 && p.dst.rows * p.dst.cols == 1;
  return single && is_pointwise(p) && (p.src.channels == 1 || p.src.channel_step == 1) &&
         (p.dst.channels == 1 || p.dst.channel_step == 1);
}

void multiply_vector(const Product& p, const Weights& w, const Epilogue& e, const Level& level, const Parallel& parallel) {
  constexpr int64_t least = 16;  // outputs of a share
  const int64_t inputs = p.src.channels / p.groups, outputs = p.dst.channels / p.groups;
  const int64_t wanted = (parallel.threads + p.groups - 1) / p.groups;
  const int64_t shares = std::clamp<int64_t>(wanted, 1, (outputs + least - 1) / least), share = (outputs + shares - 1) / shares;
  run_tasks(parallel, p.groups * shares, [&](int64_t task) {
    const int64_t group = task / shares, first = group * outputs + task % shares * share;
    const int64_t rows = std::min(share, (group + 1) * outputs - first);
    if (rows <= 0) return;
    const VectorArgs a{w.values, w.indices, w.row_ptr + first, e.bias ? e.bias + first : nullptr,
                       p.src.data + group * inputs, e.residual ? e.residual + first : nullptr, p.dst.data + first, rows, e.relu};
    level.vector(&a);
  });
}

}  // namespace tamis
