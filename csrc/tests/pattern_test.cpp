// The checks that stand between a foreign pattern and a kernel that follows it blindly, and the transposed pattern.
#include "pattern.h"

#include <climits>
#include <vector>

#include "check.h"

namespace {

void bounds() {
  using tamis::all_below;
  const std::vector<int32_t> good = {0, 5, 9}, negative = {0, -1, 9}, lowest = {INT_MIN}, highest = {INT_MAX};
  CHECK(all_below(good.data(), 3, 10), "in range");
  CHECK(!all_below(good.data(), 3, 9), "one past the end");
  CHECK(!all_below(negative.data(), 3, 10), "negative");
  CHECK(!all_below(lowest.data(), 1, 10), "most negative");
  CHECK(!all_below(highest.data(), 1, INT_MAX), "largest");
  CHECK(all_below(highest.data(), 1, int64_t(INT_MAX) + 1), "rows of 2^31 weights");
  CHECK(!all_below(good.data(), 3, int64_t(INT_MAX) + 2), "longer rows do not fit");
  CHECK(!all_below(good.data(), 1, 0), "nothing lies below 0");
  CHECK(all_below(nullptr, 0, 0), "no index");
}

void rises() {
  using tamis::rows_rise;
  const std::vector<int64_t> good = {0, 0, 3, 3}, falls = {0, 4, 2, 3}, late = {1, 2, 3, 3};
  CHECK(rows_rise(good.data(), 3, 3), "good");
  CHECK(!rows_rise(good.data(), 3, 4), "another end");
  CHECK(!rows_rise(falls.data(), 3, 3), "falls");
  CHECK(!rows_rise(late.data(), 3, 3), "does not start at 0");
  CHECK(!rows_rise(good.data(), -1, 3), "no array at all");
}

// A 1 x 2 kernel with stride 2 and one column of padding: tap 0 reads odd columns, tap 1 even ones.
void transposed() {
  tamis::Geometry g{1, 4, 1, 2, 1, 2, 1, 2, 0, 1, 1, 1, 1};
  const std::vector<int64_t> row_ptr = {0, 3, 5};
  const std::vector<int32_t> indices = {0, 1, 2, 1, 3};  // (channel, tap) of output 0: 00 01 10; of output 1: 01 11
  std::vector<int64_t> t_row_ptr(5);
  std::vector<int32_t> t_indices(5), source(5);
  tamis::transpose_weights(g, {nullptr, row_ptr.data(), indices.data()}, 2, 2, t_row_ptr.data(), t_indices.data(),
                           source.data());
  // Phase 0 (even): channel 0 from output 0 tap 1 and output 1 tap 1; channel 1 from output 1 tap 1. Phase 1: tap 0.
  CHECK((t_row_ptr == std::vector<int64_t>{0, 2, 3, 4, 5}), "rows");
  CHECK((t_indices == std::vector<int32_t>{1, 3, 3, 0, 0}), "indices");
  CHECK((source == std::vector<int32_t>{1, 3, 4, 0, 2}), "source");
}

}  // namespace

int main() {
  bounds();
  rises();
  transposed();
  return tamis_test::failures() != 0;
}
