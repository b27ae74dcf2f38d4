#pragma once
#include "dispatch.h"
#include "problem.h"
#include "panel.h"
#include "tiling.h"

namespace tamis {

// Everything that the tasks of one product share.
struct Plan {
  const Product& product;
  const Weights& weights;
  const Level& level;
  Tiling tiling;
  int64_t lanes;
  int64_t chunks;  // parts into which each group's destination channels are cut
  int64_t chunk_channels;
  std::vector<int64_t> plane_of_target_phase;
  int64_t number;  // a plan's number is never used again

  int64_t places() const { return tiling.row_blocks * tiling.col_blocks; }
  int64_t tiles() const { return tiling.image_blocks * places(); }
  int64_t phases() const { return int64_t(product.phases.size()); }
  int64_t source_channels() const { return product.src.channels / product.groups; }
  int64_t row_length() const { return source_channels() * product.taps; }
  int64_t tile_channel_floats() const { return phases() * tiling.phase_floats; }
  // Channels that the panel has room for.
  int64_t panel_channels() const { return tiling.keeps_source ? source_channels() : tiling.channel_block; }
};

// `parts_there` independent parts exist for `parts_wanted` threads; 0 stands for one a tile and group.
Plan make_plan(const Product& p, const Weights& w, const Level& level, Tiling tiling, int64_t parts_wanted,
               int64_t parts_there = 0);

// The average number of live weights between one source channel and one destination channel.
double live_per_pair(const Product& p, const Weights& w);

// One tile of one channel chunk of one group. Rows and columns count positions of a phase.
struct Task {
  int64_t place, first_image, first_row, rows, first_col, cols, group, first_channel, channels;
};
Task task_at(const Plan& plan, int64_t tile, int64_t group, int64_t chunk);

// The part of a tile that a phase has.
struct Part {
  int64_t rows, cols;
  bool empty() const { return rows <= 0 || cols <= 0; }
};
Part part_of(const Task& task, const Phase& phase);

// What all phases of a tile need of the source, and where its results lie in the destination.
Window source_window(const Plan& plan, const Task& task);
Window target_window(const Plan& plan, const Task& task);

// Flat index inside a weight row -> offset in the panel of the channel block that the index belongs to, for each phase.
void fill_table(const Plan& plan, int32_t* table);

}  // namespace tamis
