#pragma once
#include "dispatch.h"
#include "problem.h"
#include "tiling.h"

namespace tamis {

// A rectangle of cells in a panel or tile, and where its cells lie in a tensor: cell (row, col) of the plane of phase
// (row_phase, col_phase) is the pixel ((first_row + row) * row_step + row_phase, (first_col + col) * col_step + col_phase).
struct Window {
  int64_t first_row, first_col, rows, cols;
  int64_t row_step, col_step;
  int64_t row_floats;    // floats between neighbouring rows of cells
  int64_t plane_floats;  // floats between planes
  int64_t lanes_per_col;
  int64_t spare;         // floats after the last row that must be finite, though nobody uses the result
  const int64_t* plane_of_phase;  // [row_step * col_step], -1 for phases without a plane
};

// Which pixels of a tensor a window holds and which cells no pixel fills. The same for every channel and image.
struct PixelMap {
  // Where there is one image per cell: rows of pixels whose cells follow each other. Offsets count from the start of a channel
  // of the tensor and of the panel; one entry for each phase of the window, as a rule.
  struct Picture {
    int64_t phase, pixel, place, rows, cols;
    int64_t col_step, row_step;  // floats between neighbouring pixels and rows in the tensor
    int64_t place_step;          // and between rows in the panel
  };
  // Else: `length` pixels that follow each other in memory in steps of the tensor's col_step, listed from entry `first` on.
  struct Run {
    int64_t first, length;
  };
  struct Gap {
    int64_t start, length;
  };
  std::vector<Picture> pictures;
  std::vector<Run> runs;
  std::vector<int64_t> pixel;  // offset from the start of a channel of the tensor
  std::vector<int64_t> place;  // offset from the start of a channel of the panel, or -1 for pixels that nobody wants
  std::vector<Gap> gaps;       // floats of a channel of the panel that packing clears
  std::vector<char> filled;    // scratch
};

void map_pixels(const Images& tensor, const Window& w, PixelMap& map);

// Scratch of pack and unpack: offsets of images and of channels.
struct Offsets {
  std::vector<int64_t> images, channels;
};

// Copies the map's pixels of some channels and up to lanes_per_col images into a panel; zeros in the gaps and in the lanes
// past the last image.
void pack(const Images& src, const PixelMap& map, int64_t lanes_per_col, int64_t channel_floats, int64_t first_image,
          int64_t first_channel, int64_t channels, const Level& level, Offsets& offsets, float* panel);

// The way back: from a tile to the tensor.
void unpack(const float* tile, const PixelMap& map, int64_t lanes_per_col, int64_t channel_floats, int64_t first_image,
            int64_t first_channel, int64_t channels, const Level& level, Offsets& offsets, const Images& dst);

}  // namespace tamis
