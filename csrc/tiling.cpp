#include "tiling.h"

#include <algorithm>
#include <climits>
#include <stdexcept>
#if defined(__unix__)
#include <unistd.h>
#endif

namespace tamis {
namespace {

// Shares of the caches that worked on measured machines; a tile that misses them is slower, never wrong.
struct Budgets {
  int64_t nearest;  // what one register tile reads of a panel (L1)
  int64_t panel;    // a packed channel block (L2)
  int64_t output;   // the results of a tile, touched once per channel block (L2, and a little more)
};

int64_t cache_size(int level, int64_t otherwise) {
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  const long size = sysconf(level == 1 ? _SC_LEVEL1_DCACHE_SIZE : _SC_LEVEL2_CACHE_SIZE);
  if (size > 0) return size;
#endif
  (void)level;
  return otherwise;
}

const Budgets& budgets() {
  static const Budgets b = [] {
    const int64_t nearest = std::clamp<int64_t>(cache_size(1, 32 << 10), 16 << 10, 256 << 10);
    const int64_t second = std::clamp<int64_t>(cache_size(2, 512 << 10), 256 << 10, 4096 << 10);
    return Budgets{nearest * 15 / 16, second / 2, second};
  }();
  return b;
}

// Sums that one register tile of the images layout holds. More would use each weight more often, but what they read of a
// channel would leave less room in L1 for further channels, and results would be loaded and stored for fewer weights.
constexpr int64_t image_sums = 14;
// Fewer live weights per visit of a channel block do not pay for loading and storing the results again. In a linear layer
// an input has no neighbours to read as well, so larger blocks cost less.
constexpr double weights_per_visit = 14, weights_per_linear_visit = 26;
// A row of more positions than that (all pixels of a batch, for 1x1 convolutions with images innermost) is cut into pieces of
// one register tile: the panel then holds so many channels that results are rarely stored and loaded again.
constexpr int64_t long_row = 1024, piece_of_row = 448;
// A stretch of an image shorter than so many floats is read slowly.
constexpr int64_t short_stretch = 112;
// With fewer live weights than these behind a result, packing takes longer than multiplying.
constexpr double rare_weights = 24;
// With fewer than this many in a block that fits, storing and loading results costs more than a block that does not fit.
constexpr double too_few_weights = 4;

int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }
// The largest of the equal shares of at most `most` each into which `total` is cut.
int64_t even_share(int64_t total, int64_t most) { return total > 0 ? up(total, up(total, most)) : 1; }

// Smallest and largest shift of the taps in use.
struct Reach {
  int64_t row_low = 0, row_high = 0, col_low = 0, col_high = 0;
};

Reach reach_of(const Product& p) {
  Reach r;
  bool any = false;
  for (const Phase& phase : p.phases)
    for (const Tap& tap : phase.taps) {
      if (!tap.used) continue;
      r.row_low = any ? std::min(r.row_low, tap.row_shift) : tap.row_shift;
      r.row_high = any ? std::max(r.row_high, tap.row_shift) : tap.row_shift;
      r.col_low = any ? std::min(r.col_low, tap.col_shift) : tap.col_shift;
      r.col_high = any ? std::max(r.col_high, tap.col_shift) : tap.col_shift;
      any = true;
    }
  return r;
}

// Whether to use the images layout, by cycles per image and output row: one for a vector that is aligned, more for one that
// is not, and what packing and unpacking were measured to cost per float.
bool images_pay(const Product& p, bool single, int64_t columns, const Reach& reach, int64_t lanes, double live_per_pair) {
  // A single position leaves all lanes but one of its vector empty, a few images fill as many.
  if (p.src.images < lanes) return single;
  const bool strided = p.source_step_rows * p.source_step_cols * p.target_step_rows * p.target_step_cols > 1;
  const bool images_innermost = p.src.image_step == 1 && p.dst.image_step == 1;
  // Columns would be picked one by one.
  if (strided || images_innermost) return true;
  // Pixels apart in memory cannot be turned a vector at a time.
  if (p.src.col_step != 1 && p.src.channel_step != 1 && p.src.image_step != 1) return false;
  const bool pointwise = reach.row_low == reach.row_high && reach.col_low == reach.col_high;
  const double cols = double(columns), channels = double(p.src.channels + p.dst.channels);
  const double pairs = double(p.dst.channels) * double(p.src.channels) / double(p.groups), vectors = pairs * live_per_pair;
  const double padded_images = double(up(p.src.images, lanes) * lanes) / double(p.src.images);
  const double as_images = vectors * cols / double(lanes) * padded_images + channels * cols * 0.8;
  const double row_vectors = (cols + double(reach.col_high - reach.col_low)) / double(lanes);
  const double as_columns = vectors * row_vectors * (pointwise ? 1.0 : 1.35) + channels * (cols * (pointwise ? 0.4 : 1.0) + 4);
  return as_images < as_columns;
}

void place_panel(const Product& p, const Reach& reach, int64_t lanes, Tiling& t) {
  t.plane_of_phase.assign(size_t(p.source_step_rows * p.source_step_cols), -1);
  int64_t planes = 0;
  for (const Phase& phase : p.phases)
    for (const Tap& tap : phase.taps) {
      if (!tap.used) continue;
      int64_t& plane = t.plane_of_phase[size_t(tap.row_phase * p.source_step_cols + tap.col_phase)];
      if (plane < 0) plane = planes++;
    }
  planes = std::max<int64_t>(planes, 1);
  t.row_shift = reach.row_low;
  t.col_shift = reach.col_low;
  t.panel_rows = t.tile_rows + reach.row_high - reach.row_low;
  t.panel_cols = t.tile_cols + reach.col_high - reach.col_low;
  // Offsets inside a panel are 32-bit.
  if ((double(t.panel_rows) * double(t.panel_cols) * double(t.lanes_per_col) + double(lanes)) * double(planes) >= INT_MAX)
    throw std::length_error("tamis: the input is too wide: one tile would need a panel of 2^31 floats");
  t.panel_row_floats = t.panel_cols * t.lanes_per_col;
  // In the columns layout the last vector of a tile may reach past its last position, hence the spare lanes.
  t.plane_floats = t.panel_rows * t.panel_row_floats + (t.images ? 0 : lanes);
  t.channel_floats = planes * t.plane_floats;
  for (const Phase& phase : p.phases)
    for (const Tap& tap : phase.taps) {
      const int64_t plane = tap.used ? t.plane_of_phase[size_t(tap.row_phase * p.source_step_cols + tap.col_phase)] : 0;
      const int64_t inside = (tap.row_shift - reach.row_low) * t.panel_cols + tap.col_shift - reach.col_low;
      t.tap_offset.push_back(tap.used ? plane * t.plane_floats + inside * t.lanes_per_col : 0);
    }
}

// Rows that fill whole cache lines of an NCHW result, if `most` rows are enough for that: stores past the caches want it.
int64_t fill_lines(int64_t rows, int64_t cols, int64_t most) {
  int64_t unit = 16;
  while (unit > 1 && unit / 2 * cols % 16 == 0) unit /= 2;
  return up(rows, unit) * unit <= most ? up(rows, unit) * unit : rows;
}

// Rows and columns of a tile: results that stay in the cache. Packing reads whole rows faster than parts of them, and rows at
// the borders of a tile are packed twice, so a tile has whole rows, at least two, unless results would not fit by far.
void choose_tile(const Product& p, int64_t rows, int64_t cols, int64_t lanes, int64_t registers, double live_per_pair,
                 Tiling& t) {
  const int64_t channels = std::max<int64_t>(1, p.dst.channels / p.groups * int64_t(p.phases.size()));
  const int64_t places = std::max<int64_t>({budgets().output / 4 / channels / t.lanes_per_col,
                                            registers * lanes / t.lanes_per_col, 1});
  if (!t.images && rows == 1 && cols > long_row) {
    t.tile_rows = 1, t.tile_cols = up(std::max<int64_t>(registers * lanes, piece_of_row), lanes) * lanes;
    return;
  }
  const bool parts_are_cheap = t.images && p.src.image_step == 1;
  const int64_t few_rows = std::min<int64_t>(rows, parts_are_cheap ? 4 : 2);
  // In the columns layout columns are cut in whole vectors, and not without need.
  const int64_t unit = t.images ? 1 : lanes;
  int64_t widest = std::max(places / few_rows, t.images ? int64_t(14) : 2 * registers * lanes);
  if (!parts_are_cheap) widest *= 2;
  widest = std::max(unit, widest / unit * unit);
  t.tile_cols = cols <= widest ? cols : std::min(cols, up(even_share(cols, widest), unit) * unit);
  const auto fitting = [&](int64_t count) { return std::clamp(count / t.tile_cols, few_rows, std::max<int64_t>(rows, 1)); };
  t.tile_rows = even_share(rows, fitting(places));
  if (!t.images || t.tile_cols < cols) return;
  // Images apart in memory: where a tile would read too little of each at a time, or has so little to compute that packing
  // rules its time, results may leave L2.
  const double weights = live_per_pair * double(p.src.channels) / double(p.groups) / double(p.phases.size());
  if (t.tile_rows * cols < short_stretch || weights < rare_weights)
    t.tile_rows = fill_lines(even_share(rows, fitting(2 * places)), cols, fitting(2 * places));
}

// The register tile with the fewest passes over the weights, and among those the one that touches least of the panel.
void choose_steps(int64_t row_vectors, const Reach& reach, int64_t vectors_per_col, int64_t registers, Tiling& t) {
  const int64_t halo_rows = reach.row_high - reach.row_low, halo = (reach.col_high - reach.col_low) * vectors_per_col;
  int64_t best_passes = INT64_MAX, best_touched = INT64_MAX;
  for (int64_t most_rows = std::min<int64_t>(8, t.tile_rows); most_rows >= 1; --most_rows) {
    const int64_t rows = even_share(t.tile_rows, most_rows);
    const int64_t vectors = even_share(row_vectors, std::min(row_vectors, registers / rows));
    const int64_t passes = up(t.tile_rows, rows) * up(row_vectors, vectors);
    const int64_t touched = (rows + halo_rows) * (vectors + halo);
    if (passes < best_passes || (passes == best_passes && touched < best_touched)) {
      best_passes = passes, best_touched = touched;
      t.step_rows = rows, t.step_vectors = vectors;
    }
  }
}

}  // namespace

Tiling choose_tiling(const Product& p, const TileLimits& limits, int64_t registers, double live_per_pair, Layout layout,
                     const Shared& shared) {
  Tiling t{};
  const int64_t lanes = limits.lanes;
  int64_t rows = 1, cols = 1;
  for (const Phase& phase : p.phases) rows = std::max(rows, phase.rows), cols = std::max(cols, phase.cols);
  Reach reach = reach_of(p);
  if (shared.keeps_source) {
    rows = std::max(rows, p.src.rows), cols = std::max(cols, p.src.cols);
    reach = {std::min<int64_t>(reach.row_low, 0), std::max<int64_t>(reach.row_high, 0), std::min<int64_t>(reach.col_low, 0),
             std::max<int64_t>(reach.col_high, 0)};
  }
  t.keeps_source = shared.keeps_source;
  const bool pay = layout == Layout::automatic && images_pay(p, rows * cols == 1, cols, reach, lanes, live_per_pair);
  t.images = shared.partner ? shared.partner->images : layout == Layout::images || pay;
  int64_t vectors_per_col = 1;
  if (t.images) {
    // Small pictures take several vectors of images per position, so that there are enough independent sums.
    const int64_t wanted = rows * cols == 1 ? registers : rows * cols < 8 ? up(8, rows * cols) : 1;
    vectors_per_col = even_share(up(p.src.images, lanes), std::clamp<int64_t>(wanted, 1, registers));
    if (shared.partner) vectors_per_col = shared.partner->lanes_per_col / lanes;
  }
  t.lanes_per_col = t.images ? vectors_per_col * lanes : 1;
  t.image_blocks = up(p.src.images, t.lanes_per_col);
  if (shared.partner) {
    t.tile_rows = shared.partner->tile_rows, t.tile_cols = shared.partner->tile_cols;
    t.row_blocks = shared.partner->row_blocks, t.col_blocks = shared.partner->col_blocks;
  } else {
    choose_tile(p, rows, cols, lanes, registers, live_per_pair, t);
    t.row_blocks = up(rows, t.tile_rows);
    t.col_blocks = up(cols, t.tile_cols);
  }
  place_panel(p, reach, lanes, t);
  if (t.images) {
    t.tile_row_floats = t.tile_cols * t.lanes_per_col;
    t.phase_floats = t.tile_rows * t.tile_row_floats;
    const bool alone = rows * cols == 1;  // then nothing but the sums themselves is read
    choose_steps(t.tile_cols * vectors_per_col, reach, vectors_per_col, alone ? registers : std::min(registers, image_sums), t);
  } else {
    t.tile_row_floats = t.panel_row_floats;
    const int64_t vectors = up((t.tile_rows - 1) * t.tile_row_floats + t.tile_cols, lanes);
    t.phase_floats = t.tile_rows * t.tile_row_floats + lanes;
    t.step_rows = 1;
    t.step_vectors = even_share(vectors, registers);
  }
  const int64_t source_channels = std::max<int64_t>(1, p.src.channels / p.groups);
  const int64_t halo_rows = reach.row_high - reach.row_low, halo_cols = reach.col_high - reach.col_low;
  const int64_t planes = t.channel_floats / t.plane_floats;
  const int64_t touched_floats = t.images ? (t.step_rows + halo_rows) * (t.step_vectors * lanes + halo_cols * t.lanes_per_col)
                                          : t.step_vectors * lanes + halo_rows * t.panel_row_floats + halo_cols;
  const int64_t touched = std::max<int64_t>(1, touched_floats * 4 * planes);
  const bool linear = rows * cols == 1;
  const double visit = linear ? weights_per_linear_visit : weights_per_visit;
  const int64_t near = budgets().nearest * (linear ? 6 : 1) / touched;
  int64_t fits = budgets().panel / (t.channel_floats * 4);
  if (double(fits) * live_per_pair < too_few_weights) fits *= 3;
  int64_t block = std::max<int64_t>(near, int64_t(visit / std::max(live_per_pair, 1e-9)) + 1);
  block = std::min(block, std::max<int64_t>(1, fits));
  t.channel_block = even_share(source_channels, std::clamp<int64_t>(block, 1, source_channels));
  return t;
}

}  // namespace tamis
