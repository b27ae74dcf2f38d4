// Every kernel of one row of the ISA table against loops that nobody can misread. Buffers have exactly the size that the
// contracts in kernels/tile.h promise to touch.
#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "rows.h"

using tamis_test::Random;

namespace {

struct Case {
  TileLimits limits;
  int64_t channels, row_length = 40, width, last, step, row_step, channel_step, floats;
  int32_t rows, vectors;
  std::vector<float> values, panel;
  std::vector<int32_t> indices, table;
  std::vector<int64_t> row_ptr;

  // A tile of one row may be `overlap` floats shorter than its vectors. Of three channels the middle one has no live weight.
  Case(const TileLimits& l, int32_t r, int32_t v, Random& random, int64_t overlap = 0, int64_t count = 3)
      : limits(l), channels(count), rows(r), vectors(v) {
    width = int64_t(vectors) * limits.lanes - overlap;
    last = width - limits.lanes;
    step = width + random.below(5);
    row_step = width + random.below(3);
    channel_step = (rows - 1) * row_step + width + random.below(3);
    floats = (channels - 1) * channel_step + (rows - 1) * row_step + width;
    for (int64_t i = 0; i < row_length; ++i) table.push_back(int32_t(random.below(50)));
    int32_t furthest = 0;
    row_ptr.push_back(0);
    for (int64_t c = 0; c < channels; ++c) {
      for (int32_t i = 0; i < row_length; ++i)
        if (channels == 3 && c == 1 ? false : random.below(2)) {
          indices.push_back(i);
          values.push_back(random.value());
          furthest = table[size_t(i)] > furthest ? table[size_t(i)] : furthest;
        }
      row_ptr.push_back(int64_t(indices.size()));
    }
    for (int64_t i = 0; i < furthest + (rows - 1) * step + width; ++i) panel.push_back(random.value());
  }
  float at(int64_t k, int64_t i, int64_t lane) const {
    return panel[size_t(table[size_t(indices[size_t(k)])] + i * step + lane)];
  }
};

void multiply(const tamis::Level& level, const Case& c, const float* bias, int32_t middle) {
  std::vector<float> out(size_t(c.floats), NAN);
  std::vector<int64_t> cursor(c.row_ptr.begin(), c.row_ptr.end() - 1), next(size_t(c.channels), -1);
  MultiplyArgs a{c.values.data(), c.indices.data(), c.table.data(), cursor.data(), next.data(), c.row_ptr.data() + 1, bias,
                 c.panel.data(), out.data(), out.data(), c.channels, c.last, c.step, c.row_step, c.channel_step, middle,
                 START_FROM_BIAS, 0, c.rows, c.vectors};
  level.multiply(&a);
  for (int64_t r = 0; r < c.channels; ++r) {
    int64_t k = c.row_ptr[size_t(r)];
    while (k < c.row_ptr[size_t(r) + 1] && c.indices[size_t(k)] < middle) ++k;
    CHECK(next[size_t(r)] == k, "%s: cursor of channel %d", level.name, int(r));
  }
  cursor = next;
  a.limit = INT32_MAX;
  a.start = START_FROM_OUT;
  level.multiply(&a);
  for (int64_t r = 0; r < c.channels; ++r) {
    CHECK(next[size_t(r)] == c.row_ptr[size_t(r) + 1], "%s: last cursor", level.name);
    for (int64_t i = 0; i < c.rows; ++i)
      for (int64_t lane = 0; lane < c.width; ++lane) {
        double sum = bias ? bias[r] : 0, size = 1;
        for (int64_t k = c.row_ptr[size_t(r)]; k < c.row_ptr[size_t(r) + 1]; ++k) {
          sum += double(c.values[size_t(k)]) * c.at(k, i, lane);
          size += std::fabs(double(c.values[size_t(k)]) * c.at(k, i, lane));
        }
        const float got = out[size_t(r * c.channel_step + i * c.row_step + lane)];
        CHECK(std::fabs(got - sum) <= 1e-6 * size, "%s multiply %dx%d: %g, not %g", level.name, c.rows, c.vectors, got, sum);
      }
  }
  // What lies between rows and channels belongs to somebody else.
  for (int64_t f = 0; f < c.floats; ++f) {
    const int64_t inside = f % c.channel_step, lane = inside % c.row_step;
    const bool mine = inside / c.row_step < c.rows && lane < c.width;
    CHECK(mine || std::isnan(out[size_t(f)]), "%s multiply %dx%d wrote float %d", level.name, c.rows, c.vectors, int(f));
  }
}

// relu(other sums + bias + sum), in one call.
void multiply_onto(const tamis::Level& level, const Case& c, const float* bias, Random& random) {
  std::vector<float> before(static_cast<size_t>(c.floats)), out(before.size(), NAN);
  for (float& v : before) v = random.value();
  std::vector<int64_t> cursor(c.row_ptr.begin(), c.row_ptr.end() - 1), next(size_t(c.channels), -1);
  MultiplyArgs a{c.values.data(), c.indices.data(), c.table.data(), cursor.data(), next.data(), c.row_ptr.data() + 1, bias,
                 c.panel.data(), before.data(), out.data(), c.channels, c.last, c.step, c.row_step, c.channel_step, INT32_MAX,
                 START_FROM_OUT_AND_BIAS, 1, c.rows, c.vectors};
  level.multiply(&a);
  for (int64_t r = 0; r < c.channels; ++r)
    for (int64_t i = 0; i < c.rows; ++i)
      for (int64_t lane = 0; lane < c.width; ++lane) {
        const size_t at = size_t(r * c.channel_step + i * c.row_step + lane);
        double sum = double(before[at]) + (bias ? bias[r] : 0), size = 1 + std::fabs(sum);
        for (int64_t k = c.row_ptr[size_t(r)]; k < c.row_ptr[size_t(r) + 1]; ++k) {
          sum += double(c.values[size_t(k)]) * c.at(k, i, lane);
          size += std::fabs(double(c.values[size_t(k)]) * c.at(k, i, lane));
        }
        const double wanted = sum > 0 ? sum : 0;
        CHECK(std::fabs(out[at] - wanted) <= 1e-6 * size, "%s multiply onto %dx%d: %g, not %g", level.name, c.rows, c.vectors,
              out[at], wanted);
      }
}

// Rows of many lengths, none among them; the same bits as a tile whose first lane holds the vector.
void vector(const tamis::Level& level, const TileLimits& limits, int64_t rows, Random& random) {
  constexpr int64_t inputs = 60;
  std::vector<float> values, bias, before, x, out(size_t(rows), NAN), tiles(size_t(rows * limits.lanes), NAN), panel;
  std::vector<int32_t> indices, table;
  std::vector<int64_t> row_ptr{0}, next(static_cast<size_t>(rows));
  for (int64_t i = 0; i < inputs; ++i) {
    x.push_back(random.value());
    table.push_back(int32_t(i * limits.lanes));
    for (int64_t lane = 0; lane < limits.lanes; ++lane) panel.push_back(lane ? 0.0f : x.back());
  }
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t rarity = 1 + random.below(8);
    for (int32_t i = 0; i < inputs; ++i)
      if (r % 7 != 3 && random.below(rarity) == 0) indices.push_back(i), values.push_back(random.value());
    row_ptr.push_back(int64_t(indices.size()));
    bias.push_back(random.value()), before.push_back(r % 5 ? random.value() : -0.0f);
  }
  for (int how = 0; how < 8; ++how) {
    const float *b = how & 1 ? bias.data() : nullptr, *o = how & 2 ? before.data() : nullptr;
    const int32_t relu = how >> 2;
    const VectorArgs a{values.data(), indices.data(), row_ptr.data(), b, x.data(), o, out.data(), rows, relu};
    level.vector(&a);
    std::vector<float> starts(tiles.size(), 0.0f);
    for (int64_t r = 0; r < rows; ++r) starts[size_t(r * limits.lanes)] = before[size_t(r)];
    const MultiplyArgs m{values.data(), indices.data(), table.data(), row_ptr.data(), next.data(), row_ptr.data() + 1, b,
                         panel.data(), o ? starts.data() : tiles.data(), tiles.data(), rows, 0, 0, 0, limits.lanes, INT32_MAX,
                         o ? START_FROM_OUT_AND_BIAS : START_FROM_BIAS, relu, 1, 1};
    level.multiply(&m);
    for (int64_t r = 0; r < rows; ++r)
      CHECK(std::memcmp(&out[size_t(r)], &tiles[size_t(r * limits.lanes)], sizeof(float)) == 0,
            "%s vector of %d rows, way %d: %g, not %g", level.name, int(rows), how, out[size_t(r)], tiles[size_t(r * limits.lanes)]);
  }
}

void dot(const tamis::Level& level, const Case& c, int32_t middle, Random& random) {
  std::vector<float> grad(size_t(c.floats), NAN), result(c.indices.size());
  for (float& v : result) v = random.value();
  const std::vector<float> before = result;
  for (int64_t r = 0; r < c.channels; ++r)
    for (int64_t i = 0; i < c.rows; ++i)
      for (int64_t lane = 0; lane < c.width; ++lane)
        grad[size_t(r * c.channel_step + i * c.row_step + lane)] = random.value();
  std::vector<int64_t> cursor(c.row_ptr.begin(), c.row_ptr.end() - 1), next(size_t(c.channels), -1);
  DotArgs a{grad.data(), c.indices.data(), c.table.data(), cursor.data(), next.data(), c.row_ptr.data() + 1, c.panel.data(),
            result.data(), c.channels, c.step, c.row_step, c.channel_step, middle, c.rows, c.vectors};
  level.dot(&a);
  for (size_t k = 0; k < result.size(); ++k)
    if (c.indices[k] >= middle) CHECK(result[k] == before[k], "%s: weight %d is of a later block", level.name, int(k));
  cursor = next;
  a.limit = INT32_MAX;
  level.dot(&a);
  for (int64_t r = 0; r < c.channels; ++r)
    for (int64_t k = c.row_ptr[size_t(r)]; k < c.row_ptr[size_t(r) + 1]; ++k) {
      double sum = before[size_t(k)], size = 1;
      for (int64_t i = 0; i < c.rows; ++i)
        for (int64_t lane = 0; lane < c.width; ++lane) {
          const double product = double(grad[size_t(r * c.channel_step + i * c.row_step + lane)]) * c.at(k, i, lane);
          sum += product;
          size += std::fabs(product);
        }
      CHECK(std::fabs(result[size_t(k)] - sum) <= 1e-6 * size, "%s dot %dx%d: %g, not %g", level.name, c.rows, c.vectors,
            result[size_t(k)], sum);
    }
}

// Rows and columns in any order, some columns unwanted, zeros below, exactly the promised floats readable.
void transpose(const tamis::Level& level, int64_t rows, int64_t cols, Random& random) {
  const int64_t padded = rows + random.below(20), spare = random.below(2) ? random.below(20) : 0;
  const int64_t src_step = cols + spare, dst_step = padded + random.below(4);
  std::vector<float> src(size_t(rows * src_step)), dst(size_t(cols * dst_step), NAN);
  for (float& v : src) v = random.value();
  std::vector<int64_t> from, to;
  for (int64_t i = 0; i < rows; ++i) from.push_back((rows - 1 - i) * src_step);
  for (int64_t j = 0; j < cols; ++j) to.push_back(random.below(5) ? (cols - 1 - j) * dst_step : -1);
  TransposeArgs a{src.data(), dst.data(), from.data(), to.data(), rows, cols, padded, src_step,
                  random.below(2) ? random.below(100) : 0, 16 + 16 * random.below(5), int32_t(random.below(2))};
  level.transpose(&a);
  for (int64_t j = 0; j < cols; ++j)
    for (int64_t i = 0; i < dst_step; ++i) {
      const float got = dst[size_t((cols - 1 - j) * dst_step + i)];
      const bool written = to[size_t(j)] >= 0 && i < padded;
      const float wanted = i < rows ? src[size_t((rows - 1 - i) * src_step + j)] : 0.0f;
      CHECK(written ? got == wanted : std::isnan(got), "%s transpose %dx%d", level.name, int(rows), int(cols));
    }
}

void lanes(const tamis::Level& level, int64_t places, int64_t count, Random& random) {
  const int64_t padded = count + random.below(20), src_step = count + random.below(3), dst_step = padded + random.below(3);
  std::vector<float> src(size_t(places * src_step)), dst(size_t(places * dst_step), NAN);
  for (float& v : src) v = random.value();
  std::vector<int64_t> from, to;
  for (int64_t p = 0; p < places; ++p) {
    from.push_back((places - 1 - p) * src_step);
    to.push_back(random.below(5) ? p * dst_step : -1);
  }
  LanesArgs a{src.data(), dst.data(), from.data(), to.data(), places, count, padded,
              random.below(2) ? random.below(100) : 0, int32_t(random.below(2))};
  level.lanes(&a);
  for (int64_t p = 0; p < places; ++p)
    for (int64_t i = 0; i < dst_step; ++i) {
      const float got = dst[size_t(p * dst_step + i)];
      const bool written = to[size_t(p)] >= 0 && i < padded;
      const float wanted = i < count ? src[size_t((places - 1 - p) * src_step + i)] : 0.0f;
      CHECK(written ? got == wanted : std::isnan(got), "%s lanes %dx%d", level.name, int(places), int(count));
    }
}

void pictures(const tamis::Level& level, int64_t rows, int64_t cols, Random& random) {
  const int64_t channels = random.below(4), col_step = random.between(1, 2);
  const int64_t src_row = (cols - 1) * col_step + 1 + random.below(3), dst_row = cols + random.below(3);
  const int64_t src_channel = rows * src_row + random.below(3), dst_channel = rows * dst_row + random.below(3);
  const int64_t floats = channels && rows ? (channels - 1) * src_channel + (rows - 1) * src_row + (cols - 1) * col_step + 1 : 0;
  std::vector<float> src(static_cast<size_t>(floats)), dst(size_t(channels * dst_channel), NAN);
  for (float& v : src) v = random.value();
  PicturesArgs a{src.data(), dst.data(), src_channel, dst_channel, src_row, dst_row, col_step, channels, rows, cols,
                 random.below(2) ? random.below(100) : 0};
  level.pictures(&a);
  for (int64_t i = 0; i < int64_t(dst.size()); ++i) {
    const int64_t c = i / dst_channel, r = i % dst_channel / dst_row, col = i % dst_channel % dst_row;
    const bool written = r < rows && col < cols;
    const float got = dst[size_t(i)];
    CHECK(written ? got == src[size_t(c * src_channel + r * src_row + col * col_step)] : std::isnan(got),
          "%s pictures %dx%d step %d", level.name, int(rows), int(cols), int(col_step));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const tamis::Level& level = tamis_test::row_of_command_line(argc, argv);
  Random random(1);
  TileLimits limits;
  level.limits(&limits);
  const float bias[] = {0.5f, -0.25f, 2.0f, 1.0f, -1.0f, 0.0f, 0.25f, 3.0f, -2.0f, 1.5f, -0.5f};
  for (int32_t rows = 1; rows <= 8; ++rows) {
    for (int32_t vectors = 1; rows * vectors <= limits.multiply; ++vectors) {
      const Case c(limits, rows, vectors, random, rows == 1 && vectors > 1 ? random.below(limits.lanes) : 0);
      multiply(level, c, bias, 17);
      multiply(level, c, nullptr, 0);
      multiply_onto(level, c, bias, random);
      multiply_onto(level, c, nullptr, random);
      // Enough channels for several at a time and some by themselves; every end of a block.
      const Case many(limits, rows, vectors, random, rows == 1 && vectors > 1 ? random.below(limits.lanes) : 0, 11);
      for (int32_t middle = 0; middle <= 40; middle += rows == 1 && vectors <= 4 ? 1 : 13) multiply(level, many, bias, middle);
      multiply_onto(level, many, bias, random);
    }
    for (int32_t vectors = 1; rows * vectors <= limits.dot; ++vectors) {
      const Case c(limits, rows, vectors, random);
      dot(level, c, 23, random);
    }
  }
  for (int64_t rows = 0; rows < 40; ++rows) vector(level, limits, rows, random);
  for (int64_t rows = 0; rows < 40; ++rows)
    for (int64_t cols = 0; cols < 40; ++cols) transpose(level, rows, cols, random);
  for (int64_t places = 0; places < 6; ++places)
    for (int64_t count = 0; count < 40; ++count) lanes(level, places, count, random);
  for (int64_t rows = 0; rows < 5; ++rows)
    for (int64_t cols = 1; cols < 80; ++cols) pictures(level, rows, cols, random);
  std::printf("%s: %d failures\n", level.name, tamis_test::failures());
  return tamis_test::failures() != 0;
}
