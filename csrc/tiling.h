#pragma once
#include "kernels/tile.h"
#include "problem.h"

namespace tamis {

// How the source is laid out inside a panel.
enum class Layout {
  automatic,
  columns,  // one image; neighbouring columns share a vector
  images,   // neighbouring images share a vector; needs a batch
};

// How one phase of a product is cut into tiles. A panel holds, for a block of channels, every source value that a tile of
// destination rows needs: [channel][source phase][panel row][panel col][image lane].
struct Tiling {
  int64_t lanes_per_col;   // images side by side in a panel (1 in the columns layout)
  int64_t image_blocks, row_blocks;
  int64_t tile_rows;       // destination rows of a tile
  int64_t row_vectors;     // vectors that cover one destination row
  int64_t row_floats;      // row_vectors * lanes
  int64_t step_rows, step_vectors;  // the register tile
  int64_t panel_rows, panel_cols;
  int64_t row_shift, col_shift;     // smallest shifts: where panel row 0 and column 0 are
  int64_t plane_floats;    // one source phase of one channel
  int64_t channel_floats;  // all source phases of one channel
  int64_t channel_block;
  std::vector<int64_t> plane_of_phase;  // source phase -> plane, or -1 where no tap reads it
  std::vector<int64_t> tap_offset;      // offset of each tap inside a channel of the panel
};

// Throws std::length_error if a panel of one channel exceeds 2^31 floats; `phase` has at least one row and column.
// `live_per_pair` is the average number of live weights between one source channel and one destination channel.
Tiling choose_tiling(const Product& p, const Phase& phase, const TileLimits& limits, int64_t registers, double live_per_pair,
                     Layout layout);

}  // namespace tamis
