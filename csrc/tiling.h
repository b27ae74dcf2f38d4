#pragma once
#include "kernels/tile.h"
#include "problem.h"

namespace tamis {

// How values of neighbouring positions lie in a panel and in a tile of results.
enum class Layout {
  automatic,
  columns,  // one image; rows of pixels, with their padding, follow each other and vectors run across them
  images,   // neighbouring images share a vector; needs a batch
};

// How a product is cut into tiles. A panel holds, for a block of channels, every source value that a tile of destination
// positions needs: [channel][source phase][panel row][panel col][image lane]. A tile holds the results:
// [channel][destination phase][row][col][image lane]. Rows and columns of a tile count positions of one phase.
struct Tiling {
  bool images;
  bool keeps_source;      // every source channel of a tile stays in the panel, not only one channel block
  int64_t lanes_per_col;  // images side by side (1 in the columns layout)
  int64_t image_blocks, row_blocks, col_blocks;
  int64_t tile_rows, tile_cols;
  int64_t step_rows, step_vectors;   // the register tile; step_rows is 1 in the columns layout
  int64_t panel_rows, panel_cols;
  int64_t row_shift, col_shift;      // smallest shifts: where panel row 0 and column 0 are
  int64_t panel_row_floats, plane_floats, channel_floats;
  int64_t tile_row_floats, phase_floats;
  int64_t channel_block;
  std::vector<int64_t> plane_of_phase;  // source phase -> plane, or -1 where no tap reads it
  std::vector<int64_t> tap_offset;      // [destination phase][tap] offset inside a channel of the panel
};

// What a product keeps to when it shares its tiles with another one.
struct Shared {
  bool keeps_source = false;        // and each position of a tile lies in its panel, whether a tap reads it or not
  const Tiling* partner = nullptr;  // tiles are cut like those of the partner
};

// Throws std::length_error if a panel of one channel exceeds 2^31 floats; at least one phase has rows and columns.
// `live_per_pair` is the average number of live weights between one source channel and one destination channel.
Tiling choose_tiling(const Product& p, const TileLimits& limits, int64_t registers, double live_per_pair, Layout layout,
                     const Shared& shared = {});

}  // namespace tamis
