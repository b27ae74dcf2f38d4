#include "tiling.h"

#include <algorithm>
#include <climits>
#include <stdexcept>

namespace tamis {
namespace {

// Sizes that worked on measured machines; a tile that misses them is slower, never wrong.
constexpr int64_t nearest_cache = 24 * 1024;      // what one register tile reads of a panel (L1)
constexpr int64_t panel_budget = 160 * 1024;      // a packed channel block (L2)
constexpr int64_t output_budget = 256 * 1024;     // the output tile, written once per channel block (L2)
constexpr double weights_per_visit = 4;           // fewer live weights per visit do not pay for loading the outputs again

int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }
// The largest of the equal shares of at most `most` each into which `total` is cut.
int64_t even_share(int64_t total, int64_t most) { return total > 0 ? up(total, up(total, most)) : 1; }

// Cycles per image and output row of both layouts, from the arithmetic (half a cycle a vector) and from what packing and
// unpacking were measured to cost per float.
bool images_pay(const Product& p, const Phase& phase, int64_t lanes, double live_per_pair) {
  if (p.src.images < lanes) return false;
  const double cols = double(phase.cols), channels = double(p.src.channels + p.dst.channels);
  const double pairs = double(p.dst.channels) * double(p.src.channels) / double(p.groups);
  const double vectors = pairs * live_per_pair * 0.5;
  const double padded_images = double(up(p.src.images, lanes) * lanes) / double(p.src.images);
  const double as_images = vectors * cols / double(lanes) * padded_images + channels * cols * 0.6;
  const double as_columns = vectors * double(up(phase.cols, lanes)) + channels * (10 + cols * 0.15);
  return as_images < as_columns;
}

void place_taps(const Product& p, const Phase& phase, Tiling& t) {
  int64_t row_low = 0, row_high = 0, col_low = 0, col_high = 0;
  bool any = false;
  t.plane_of_phase.assign(size_t(p.source_step_rows * p.source_step_cols), -1);
  for (const Tap& tap : phase.taps) {
    if (!tap.used) continue;
    row_low = any ? std::min(row_low, tap.row_shift) : tap.row_shift;
    row_high = any ? std::max(row_high, tap.row_shift) : tap.row_shift;
    col_low = any ? std::min(col_low, tap.col_shift) : tap.col_shift;
    col_high = any ? std::max(col_high, tap.col_shift) : tap.col_shift;
    any = true;
    t.plane_of_phase[size_t(tap.row_phase * p.source_step_cols + tap.col_phase)] = 0;
  }
  int64_t planes = 0;
  for (int64_t& plane : t.plane_of_phase)
    if (plane == 0) plane = planes++;
  t.row_shift = row_low;
  t.col_shift = col_low;
  t.panel_rows = t.tile_rows + row_high - row_low;
  t.panel_cols = t.row_floats / t.lanes_per_col + col_high - col_low;
  // Offsets inside a panel are 32-bit.
  if (double(t.panel_rows) * double(t.panel_cols) * double(t.lanes_per_col) * double(std::max<int64_t>(planes, 1)) >= INT_MAX)
    throw std::length_error("tamis: the input is too wide: one tile would need a panel of 2^31 floats");
  t.plane_floats = t.panel_rows * t.panel_cols * t.lanes_per_col;
  t.channel_floats = std::max<int64_t>(planes, 1) * t.plane_floats;
  for (const Tap& tap : phase.taps) {
    const int64_t plane = tap.used ? t.plane_of_phase[size_t(tap.row_phase * p.source_step_cols + tap.col_phase)] : 0;
    const int64_t inside = (tap.row_shift - row_low) * t.panel_cols + tap.col_shift - col_low;
    t.tap_offset.push_back(tap.used ? plane * t.plane_floats + inside * t.lanes_per_col : 0);
  }
}

}  // namespace

Tiling choose_tiling(const Product& p, const Phase& phase, const TileLimits& limits, int64_t registers, double live_per_pair,
                     Layout layout) {
  Tiling t{};
  const int64_t lanes = limits.lanes;
  const bool images =
      layout == Layout::images || (layout == Layout::automatic && images_pay(p, phase, lanes, live_per_pair));
  int64_t vectors_per_col = 1;
  if (images) {
    // Small pictures take several vectors of images per position, so that there are enough independent sums.
    const int64_t positions = phase.rows * phase.cols;
    const int64_t wanted = positions == 1 ? registers : positions < 8 ? up(8, positions) : 1;
    vectors_per_col = even_share(up(p.src.images, lanes), std::max<int64_t>(1, std::min(wanted, registers)));
  }
  t.lanes_per_col = images ? vectors_per_col * lanes : 1;
  t.row_vectors = images ? phase.cols * vectors_per_col : up(phase.cols, lanes);
  t.row_floats = t.row_vectors * lanes;
  t.image_blocks = up(p.src.images, t.lanes_per_col);

  const int64_t channels = p.dst.channels / p.groups;
  t.tile_rows = std::clamp<int64_t>(output_budget / std::max<int64_t>(1, channels * t.row_floats * 4), 1, phase.rows);
  t.tile_rows = even_share(phase.rows, std::max<int64_t>(t.tile_rows, std::min<int64_t>(phase.rows, 4)));
  t.row_blocks = up(phase.rows, t.tile_rows);

  if (t.row_vectors > registers) {
    t.step_rows = 1;
    t.step_vectors = even_share(t.row_vectors, registers);
  } else {
    t.step_vectors = t.row_vectors;
    t.step_rows = even_share(t.tile_rows, std::min<int64_t>(registers / t.row_vectors, 8));
  }
  place_taps(p, phase, t);

  const int64_t source_channels = std::max<int64_t>(1, p.src.channels / p.groups);
  const int64_t touched_rows = t.step_rows + t.panel_rows - t.tile_rows;
  const int64_t touched_cols = t.step_vectors * lanes + (t.panel_cols * t.lanes_per_col - t.row_floats);
  const int64_t touched = std::max<int64_t>(1, touched_rows * touched_cols * 4 * (t.channel_floats / t.plane_floats));
  int64_t block = std::max<int64_t>(nearest_cache / touched, int64_t(weights_per_visit / std::max(live_per_pair, 1e-9)) + 1);
  block = std::min(block, std::max<int64_t>(1, panel_budget / (t.channel_floats * 4)));
  t.channel_block = even_share(source_channels, std::clamp<int64_t>(block, 1, source_channels));
  return t;
}

}  // namespace tamis
