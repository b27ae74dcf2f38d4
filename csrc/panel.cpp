#include "panel.h"

#include <algorithm>
#include <cstring>

namespace tamis {
namespace {

// Panel offset, inside a channel's row, of every source column that the window holds; -1 for the others.
void map_columns(const Images& src, const PanelWindow& w, int64_t row_phase, std::vector<int64_t>& map) {
  map.assign(size_t(src.cols), -1);
  for (int64_t phase = 0; phase < w.col_step; ++phase) {
    const int64_t plane = w.plane_of_phase[row_phase * w.col_step + phase];
    if (plane < 0) continue;
    for (int64_t q = 0; q < w.cols; ++q) {
      const int64_t col = (w.first_col + q) * w.col_step + phase;
      if (col >= 0 && col < src.cols) map[size_t(col)] = plane * w.plane_floats + q * w.lanes_per_col;
    }
  }
}

void clear_panel_row(const PanelWindow& w, int64_t row, int64_t row_phase, float* channel) {
  for (int64_t phase = 0; phase < w.col_step; ++phase) {
    const int64_t plane = w.plane_of_phase[row_phase * w.col_step + phase];
    if (plane >= 0)
      std::memset(channel + plane * w.plane_floats + row * w.cols * w.lanes_per_col, 0,
                  size_t(w.cols * w.lanes_per_col) * sizeof(float));
  }
}

// One source row of every channel; `map` says where its columns go.
void pack_row(const Images& src, const PanelWindow& w, const Level& level, const float* from, int64_t images,
              const std::vector<int64_t>& map, const std::vector<int64_t>& channel_offsets, float* to) {
  const auto begin = std::find_if(map.begin(), map.end(), [](int64_t m) { return m >= 0; });
  if (begin == map.end()) return;
  const int64_t first = begin - map.begin();
  const int64_t last = map.rend() - std::find_if(map.rbegin(), map.rend(), [](int64_t m) { return m >= 0; });
  if (src.channel_step == 1 && (src.col_step != 1 || src.cols == 1)) {  // channels_last, and linear layers
    for (int64_t col = first; col < last; ++col) {
      if (map[size_t(col)] < 0) continue;
      const float* at = from + col * src.col_step;
      TransposeArgs a{at, to + map[size_t(col)], channel_offsets.data(), src.image_step, images, w.channels};
      level.transpose(&a);
    }
    return;
  }
  const bool whole = w.col_step == 1;  // then every column between first and last is wanted, at neighbouring places
  for (int64_t c = 0; c < w.channels; ++c) {
    const float* at = from + c * src.channel_step;
    float* channel = to + channel_offsets[size_t(c)];
    if (whole && src.col_step == 1 && w.lanes_per_col == 1) {
      std::memcpy(channel + map[size_t(first)], at + first, size_t(last - first) * sizeof(float));
    } else if (whole && src.col_step == 1) {
      TransposeArgs a{at + first, channel, map.data() + first, src.image_step, images, last - first};
      level.transpose(&a);
    } else {
      for (int64_t i = 0; i < images; ++i)
        for (int64_t col = first; col < last; ++col)
          if (map[size_t(col)] >= 0) channel[map[size_t(col)] + i] = at[i * src.image_step + col * src.col_step];
    }
  }
}

}  // namespace

void pack(const Images& src, const PanelWindow& w, const Level& level, float* panel, std::vector<int64_t>& columns) {
  const int64_t images = std::min(w.lanes_per_col, src.images - w.first_image);
  static thread_local std::vector<int64_t> channel_offsets;
  channel_offsets.resize(size_t(w.channels));
  for (int64_t c = 0; c < w.channels; ++c) channel_offsets[size_t(c)] = c * w.channel_floats;
  const float* base = src.data + w.first_image * src.image_step + w.first_channel * src.channel_step;
  const bool short_batch = images < w.lanes_per_col;
  for (int64_t row_phase = 0; row_phase < w.row_step; ++row_phase) {
    const int64_t* planes = w.plane_of_phase + row_phase * w.col_step;
    if (std::all_of(planes, planes + w.col_step, [](int64_t p) { return p < 0; })) continue;
    map_columns(src, w, row_phase, columns);
    int64_t covered = 0;
    for (int64_t m : columns) covered += m >= 0;
    int64_t wanted = 0;
    for (int64_t p = 0; p < w.col_step; ++p) wanted += planes[p] >= 0 ? w.cols : 0;
    for (int64_t i = 0; i < w.rows; ++i) {
      const int64_t row = (w.first_row + i) * w.row_step + row_phase;
      const bool outside = row < 0 || row >= src.rows;
      if (outside || short_batch || covered < wanted)
        for (int64_t c = 0; c < w.channels; ++c) clear_panel_row(w, i, row_phase, panel + c * w.channel_floats);
      if (!outside)
        pack_row(src, w, level, base + row * src.row_step, images, columns, channel_offsets,
                 panel + i * w.cols * w.lanes_per_col);
    }
  }
}

void unpack(const float* tile, const TileTarget& t, const Level& level, const Images& dst, std::vector<int64_t>& offsets) {
  const int64_t images = std::min(t.lanes_per_col, dst.images - t.first_image);
  const int64_t col_step = dst.col_step * t.col_step;
  float* base = dst.data + t.first_image * dst.image_step + t.first_channel * dst.channel_step +
                t.first_row * dst.row_step + t.first_col * dst.col_step;
  if (dst.channel_step == 1 && (col_step != 1 || t.cols == 1)) {
    // Channels become the contiguous direction: one transpose per column (images layout) or per row (columns layout).
    const bool by_image = t.lanes_per_col > 1;
    const int64_t across = by_image ? images : t.cols;
    offsets.resize(size_t(across));
    for (int64_t j = 0; j < across; ++j) offsets[size_t(j)] = j * (by_image ? dst.image_step : col_step);
    for (int64_t i = 0; i < t.rows; ++i)
      for (int64_t col = 0; col < (by_image ? t.cols : 1); ++col) {
        TransposeArgs a{tile + i * t.row_floats + col * t.lanes_per_col,
                        base + i * t.row_step * dst.row_step + col * col_step,
                        offsets.data(), t.channel_floats, t.channels, across};
        level.transpose(&a);
      }
    return;
  }
  offsets.resize(size_t(images));
  for (int64_t j = 0; j < images; ++j) offsets[size_t(j)] = j * dst.image_step;
  for (int64_t c = 0; c < t.channels; ++c)
    for (int64_t i = 0; i < t.rows; ++i) {
      const float* from = tile + c * t.channel_floats + i * t.row_floats;
      float* to = base + c * dst.channel_step + i * t.row_step * dst.row_step;
      if (col_step == 1 && t.lanes_per_col == 1) {
        std::memcpy(to, from, size_t(t.cols) * sizeof(float));
      } else if (col_step == 1) {
        TransposeArgs a{from, to, offsets.data(), t.lanes_per_col, t.cols, images};
        level.transpose(&a);
      } else {
        for (int64_t j = 0; j < images; ++j)
          for (int64_t col = 0; col < t.cols; ++col)
            to[offsets[size_t(j)] + col * col_step] = from[col * t.lanes_per_col + j];
      }
    }
}

}  // namespace tamis
