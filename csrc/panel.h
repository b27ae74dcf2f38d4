#pragma once
#include "dispatch.h"
#include "problem.h"
#include "tiling.h"

namespace tamis {

// Which part of a tensor a panel holds.
struct PanelWindow {
  int64_t first_image, first_channel, channels;
  int64_t first_row, first_col;  // source row / step of panel row 0, source column / step of panel column 0
  int64_t rows, cols;            // panel rows to fill and panel columns
  int64_t row_step, col_step;    // distance of neighbouring panel rows and columns in the tensor
  int64_t lanes_per_col;
  int64_t plane_floats, channel_floats;
  const int64_t* plane_of_phase;  // [row_step * col_step], -1 for phases that nobody reads
};

// Copies a window of `src` into `panel`, zeros where the window reaches past the tensor. `columns` is scratch.
void pack(const Images& src, const PanelWindow& w, const Level& level, float* panel, std::vector<int64_t>& columns);

// Where a finished tile goes: rows first_row + row_step * i, columns first_col + col_step * j.
struct TileTarget {
  int64_t first_image, first_channel, channels;
  int64_t first_row, first_col, rows, cols, row_step, col_step;
  int64_t lanes_per_col, row_floats, channel_floats;
};

// Copies a tile [channel][row][col][image lane] to `dst`. `offsets` is scratch.
void unpack(const float* tile, const TileTarget& t, const Level& level, const Images& dst, std::vector<int64_t>& offsets);

}  // namespace tamis
