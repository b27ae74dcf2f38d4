// 1x1 convolutions of a few images: a channel of a picture is one stretch of memory, no pixel needs another one, so kernels
// read the source and write the destination where they lie.
//
//   for images, stretches of a picture (a register tile)      a task of the thread pool
//     for destination channels
//       for live weights of the channel                       one broadcast, one fused multiply-add a vector
//
// The bound is that of driver.cpp without packing and unpacking: L2, which holds the tile's part of the source. Stretches
// that are no multiple of a vector long end with a vector that overlaps the one before, so no spare floats are needed on
// either side. Channels of 7x7 or 14x14 pixels start anywhere in a cache line, and a load that crosses lines costs two: where
// enough weights read a channel, the source is first copied to where lines begin.
#include "pointwise.h"

#include <algorithm>
#include <climits>

#include "bypass.h"
#include "plan.h"
#include "scratch.h"

namespace tamis {
namespace {

// With fewer live weights than that behind a source channel, a copy of it costs more than loads that cross cache lines.
constexpr double worth_a_copy = 8;

int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool is_stretch(const Images& t) {
  return (t.cols == 1 || t.col_step == 1) && (t.rows == 1 || (t.row_step == t.cols && t.col_step == 1));
}

}  // namespace

bool lies_ready(const Product& p, const TileLimits& limits) {
  // Offsets of channels fit the table, in the source and in a copy, whose channels are whole vectors.
  const int64_t longest_step = std::max(p.src.channel_step, up(p.src.rows * p.src.cols, limits.lanes) * limits.lanes);
  return is_pointwise(p) && is_stretch(p.src) && is_stretch(p.dst) && p.dst.rows * p.dst.cols >= limits.lanes &&
         p.dst.images * p.dst.channels * p.dst.rows * p.dst.cols < bypass_floats &&
         double(p.src.channels) * double(longest_step) < INT_MAX;
}

void multiply_where_it_lies(const Product& p, const Weights& w, const Epilogue& e, const Level& level, const TileLimits& limits,
                            const Parallel& parallel) {
  const int64_t lanes = limits.lanes, floats = p.dst.rows * p.dst.cols, vectors = up(floats, lanes);
  const int64_t tiles = up(vectors, limits.multiply), inputs = p.src.channels / p.groups, outputs = p.dst.channels / p.groups;
  const int64_t parts = p.dst.images * tiles * p.groups;
  const int64_t chunks = std::clamp<int64_t>(up(parallel.threads, parts), 1, up(outputs, 16)), chunk = up(outputs, chunks);
  const bool copies = tiles == 1 && p.src.channel_step % lanes != 0 && live_per_pair(p, w) * double(outputs) >= worth_a_copy;
  const int64_t channel_step = copies ? vectors * lanes : p.src.channel_step;
  static thread_local Scratch table_memory;
  int32_t* const table = table_memory.take<int32_t>(inputs);
  for (int64_t c = 0; c < inputs; ++c) table[c] = int32_t(c * channel_step);
  run_tasks(parallel, parts * chunks, [&](int64_t task) {
    const int64_t group = task / chunks % p.groups, tile = task / chunks / p.groups % tiles;
    const int64_t image = task / chunks / p.groups / tiles;
    const int64_t first = group * outputs + task % chunks * chunk, channels = std::min(chunk, (group + 1) * outputs - first);
    if (channels <= 0) return;
    // Tiles differ by a vector at most, so that none has but the vector that overlaps its neighbour's.
    const int64_t vector = tile * vectors / tiles, end = (tile + 1) * vectors / tiles, start = vector * lanes;
    const int64_t to = p.dst.image_step * image + p.dst.channel_step * first + start;
    static thread_local Scratch next_memory, copy_memory;
    float* const out = p.dst.data + to;
    const float* from = p.src.data + p.src.image_step * image + p.src.channel_step * inputs * group + start;
    if (copies) {
      float* const copy = copy_memory.take<float>(inputs * channel_step);
      const PicturesArgs c{from, copy, p.src.channel_step, channel_step, 0, 0, 1, inputs, 1, floats, 0};
      level.pictures(&c);
      from = copy;
    }
    const MultiplyArgs a{w.values,
                         w.indices,
                         table,
                         w.row_ptr + first,
                         next_memory.take<int64_t>(channels),
                         w.row_ptr + first + 1,
                         e.bias ? e.bias + first : nullptr,
                         from,
                         e.residual ? e.residual + to : out,
                         out,
                         channels,
                         std::min((end - vector - 1) * lanes, floats - lanes - start),
                         0,
                         0,
                         p.dst.channel_step,
                         INT_MAX,
                         e.residual ? START_FROM_OUT_AND_BIAS : START_FROM_BIAS,
                         e.relu,
                         1,
                         int32_t(end - vector)};
    level.multiply(&a);
  });
}

}  // namespace tamis
