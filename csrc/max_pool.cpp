#include "max_pool.h"

#include <limits>
#include <vector>

#include "scratch.h"
#include "tasks.h"

namespace tamis {
namespace {

struct Reach {
  int64_t tap, source;
};
// What one position of the destination reads along one axis.
typedef std::vector<Reach> Reaches;

std::vector<Reaches> outputs_read(int64_t outputs, int64_t inputs, int64_t taps, int64_t stride, int64_t pad, int64_t dilation) {
  std::vector<Reaches> all(static_cast<size_t>(outputs));
  for (int64_t o = 0; o < outputs; ++o)
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t i = o * stride - pad + t * dilation;
      if (i >= 0 && i < inputs) all[size_t(o)].push_back({t, i});
    }
  return all;
}

// The other way round: which outputs, through which tap, read an input.
std::vector<Reaches> inputs_feed(const std::vector<Reaches>& read, int64_t inputs) {
  std::vector<Reaches> all(static_cast<size_t>(inputs));
  for (size_t o = 0; o < read.size(); ++o)
    for (const Reach& r : read[o]) all[size_t(r.source)].push_back({r.tap, int64_t(o)});
  return all;
}

// Positions first, first + step, ... that read through the same taps, at sources that advance by source_step.
struct Stretch {
  int64_t first, count;
  const Reaches* reaches;
};

std::vector<Stretch> stretches(const std::vector<Reaches>& all, int64_t step, int64_t source_step) {
  std::vector<Stretch> found;
  for (int64_t phase = 0; phase < step; ++phase)
    for (int64_t i = phase; i < int64_t(all.size()); i += step) {
      const Reaches& now = all[size_t(i)];
      bool same = i != phase && found.back().reaches->size() == now.size();
      for (size_t t = 0; same && t < now.size(); ++t) {
        const Reach& first = (*found.back().reaches)[t];
        same = first.tap == now[t].tap && first.source + found.back().count * source_step == now[t].source;
      }
      if (same)
        ++found.back().count;
      else
        found.push_back({i, 1, &now});
    }
  return found;
}

// The taps of a place: all pairs of a row's and a column's.
struct Taps {
  std::vector<int64_t> offset;
  std::vector<uint8_t> number;
  void set(const Reaches& rows, const Reaches& cols, int64_t tap_cols, int64_t source_cols, int64_t lanes) {
    offset.clear();
    number.clear();
    for (const Reach& r : rows)
      for (const Reach& c : cols) {
        offset.push_back((r.source * source_cols + c.source) * lanes);
        number.push_back(uint8_t(r.tap * tap_cols + c.tap));
      }
  }
};

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// One lane: neighbouring columns share a vector instead. The columns of a plane are sorted by phase of the stride, with
// -inf for padding, so that each tap reads neighbours.
class ColumnPool {
 public:
  ColumnPool(const Geometry& g, const std::vector<Reaches>& rows, const std::vector<Reaches>& cols)
      : g_(g), rows_(rows), cols_(cols), first_(floor_div(-g.pad_left, g.stride_cols)) {
    const int64_t last = floor_div((g.tap_cols - 1) * g.dilation_cols - g.pad_left, g.stride_cols);
    span_ = g.out_cols + last - first_;
  }
  int64_t floats() const { return g_.in_rows * g_.stride_cols * span_; }

  void run(const float* x, float* y, uint8_t* index, float* sorted, const Level& level) const {
    for (int64_t r = 0; r < g_.in_rows; ++r)
      for (int64_t p = 0; p < g_.stride_cols; ++p) sort(x + r * g_.in_cols, p, sorted + (r * g_.stride_cols + p) * span_);
    std::vector<int64_t> offset;
    std::vector<uint8_t> number;
    for (int64_t o = 0; o < g_.out_rows; ++o) {
      offset.clear();
      number.clear();
      for (const Reach& r : rows_[size_t(o)])
        for (int64_t t = 0; t < g_.tap_cols; ++t) {
          const int64_t at = t * g_.dilation_cols - g_.pad_left, q = floor_div(at, g_.stride_cols);
          offset.push_back((r.source * g_.stride_cols + at - q * g_.stride_cols) * span_ + q - first_);
          number.push_back(uint8_t(r.tap * g_.tap_cols + t));
        }
      const MaxPoolArgs a{sorted, offset.data(), number.data(), y + o * g_.out_cols, index + o * g_.out_cols,
                          1, 0, 0, g_.out_cols, int32_t(offset.size())};
      level.maxpool(&a);
      first_taps_where_all_is_lowest(o, a.out, a.index);
    }
  }

 private:
  void sort(const float* from, int64_t phase, float* to) const {
    const float lowest = -std::numeric_limits<float>::infinity();
    const int64_t stride = g_.stride_cols;
    int64_t j = 0, col = first_ * stride + phase;
    for (; j < span_ && col < 0; ++j, col += stride) to[j] = lowest;
    const int64_t inside = col < g_.in_cols ? (g_.in_cols - 1 - col) / stride + 1 : 0, end = j + (inside < span_ - j ? inside : span_ - j);
    if (stride == 2)
      for (; j < end; ++j, col += 2) to[j] = from[col];
    else
      for (; j < end; ++j, col += stride) to[j] = from[col];
    for (; j < span_; ++j) to[j] = lowest;
  }

  // -inf does not beat the padding; its place is then the window's first input.
  void first_taps_where_all_is_lowest(int64_t o, const float* y, uint8_t* index) const {
    for (int64_t c = 0; c < g_.out_cols; ++c) {
      const Reaches& reaches = cols_[size_t(c)];
      if (int64_t(reaches.size()) < g_.tap_cols && y[c] == -std::numeric_limits<float>::infinity())
        index[c] = uint8_t(rows_[size_t(o)][0].tap * g_.tap_cols + reaches[0].tap);
    }
  }

  const Geometry& g_;
  const std::vector<Reaches>&rows_, &cols_;
  int64_t first_, span_;
};

void scatter(const Geometry& g, const float* grad, const uint8_t* index, float* grad_x) {
  for (int64_t i = 0; i < g.in_rows * g.in_cols; ++i) grad_x[i] = 0;
  for (int64_t r = 0; r < g.out_rows; ++r)
    for (int64_t c = 0; c < g.out_cols; ++c) {
      const int64_t tap = index[r * g.out_cols + c], tap_row = tap / g.tap_cols, tap_col = tap - tap_row * g.tap_cols;
      const int64_t row = r * g.stride_rows - g.pad_top + tap_row * g.dilation_rows;
      const int64_t col = c * g.stride_cols - g.pad_left + tap_col * g.dilation_cols;
      // An index that this pool cannot have made is not followed out of the plane.
      if (row >= 0 && row < g.in_rows && col >= 0 && col < g.in_cols) grad_x[row * g.in_cols + col] += grad[r * g.out_cols + c];
    }
}

std::vector<Reaches> rows_read(const Geometry& g) {
  return outputs_read(g.out_rows, g.in_rows, g.tap_rows, g.stride_rows, g.pad_top, g.dilation_rows);
}
std::vector<Reaches> cols_read(const Geometry& g) {
  return outputs_read(g.out_cols, g.in_cols, g.tap_cols, g.stride_cols, g.pad_left, g.dilation_cols);
}

}  // namespace

void max_pool(const Geometry& g, const Places& places, const float* x, float* y, uint8_t* index, const Level& level,
              const Parallel& parallel) {
  const std::vector<Reaches> rows = rows_read(g), cols = cols_read(g);
  const int64_t in = g.in_rows * g.in_cols * places.lanes, out = g.out_rows * g.out_cols * places.lanes;
  if (places.lanes == 1) {
    const ColumnPool pool(g, rows, cols);
    run_tasks(parallel, places.planes, [&](int64_t p) {
      static thread_local Scratch scratch;
      pool.run(x + p * in, y + p * out, index + p * out, scratch.take<float>(pool.floats()), level);
    });
    return;
  }
  const std::vector<Stretch> pieces = stretches(cols, 1, g.stride_cols);
  run_tasks(parallel, places.planes * g.out_rows, [&](int64_t task) {
    const int64_t p = task / g.out_rows, o = task % g.out_rows;
    Taps taps;
    for (const Stretch& s : pieces) {
      taps.set(rows[size_t(o)], *s.reaches, g.tap_cols, g.in_cols, places.lanes);
      const int64_t at = p * out + (o * g.out_cols + s.first) * places.lanes;
      const MaxPoolArgs a{x + p * in, taps.offset.data(), taps.number.data(), y + at, index + at, s.count,
                          g.stride_cols * places.lanes, places.lanes, places.lanes, int32_t(taps.offset.size())};
      level.maxpool(&a);
    }
  });
}

void max_pool_gradient(const Geometry& g, const Places& places, const float* grad, const uint8_t* index, float* grad_x,
                       const Level& level, const Parallel& parallel) {
  const int64_t in = g.in_rows * g.in_cols * places.lanes, out = g.out_rows * g.out_cols * places.lanes;
  if (places.lanes == 1) {
    run_tasks(parallel, places.planes, [&](int64_t p) { scatter(g, grad + p * out, index + p * out, grad_x + p * in); });
    return;
  }
  const std::vector<Reaches> rows = inputs_feed(rows_read(g), g.in_rows), cols = inputs_feed(cols_read(g), g.in_cols);
  const std::vector<Stretch> pieces = stretches(cols, g.stride_cols, 1);
  run_tasks(parallel, places.planes * g.in_rows, [&](int64_t task) {
    const int64_t p = task / g.in_rows, r = task % g.in_rows;
    Taps taps;
    for (const Stretch& s : pieces) {
      taps.set(rows[size_t(r)], *s.reaches, g.tap_cols, g.out_cols, places.lanes);
      const MaxPoolGradientArgs a{grad + p * out, index + p * out, taps.offset.data(), taps.number.data(),
                                  grad_x + p * in + (r * g.in_cols + s.first) * places.lanes, s.count, places.lanes,
                                  g.stride_cols * places.lanes, places.lanes, int32_t(taps.offset.size())};
      level.maxpool_gradient(&a);
    }
  });
}

}  // namespace tamis
