#include "panel.h"

#include <algorithm>
#include <cstring>

#include "bypass.h"

namespace tamis {
namespace {

// Shorter stretches have too large a share of incomplete lines at their ends.
constexpr int64_t worth_bypassing = 128;

// A matrix is turned in strips of columns. Packing reads a stretch of every row at a time, and what it writes of a strip stays
// in the nearest caches; unpacking writes one row of the destination after the other, as far as the source goes.
constexpr int64_t read_strip = 128, write_strip = 16;

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Tensor rows (or columns) that a window may hold: [low, high).
struct Range {
  int64_t low, high;
};
Range range_of(int64_t first, int64_t count, int64_t step, int64_t size) {
  const int64_t low = std::max<int64_t>(0, first * step), high = std::min(size, (first + count) * step);
  return {low, std::max(low, high)};
}

// Appends the wanted pixels of one tensor row; joins them to the run before where memory goes straight on.
void map_row(const Images& t, const Window& w, int64_t row, const Range& cols, PixelMap& map) {
  const int64_t phase_row = floor_div(row, w.row_step), row_phase = row - phase_row * w.row_step;
  const int64_t* planes = w.plane_of_phase + row_phase * w.col_step;
  const int64_t start = (phase_row - w.first_row) * w.row_floats;
  int64_t low = cols.low, high = cols.high;
  const auto plane_at = [&](int64_t col) { return planes[col % w.col_step]; };
  while (low < high && plane_at(low) < 0) ++low;
  while (low < high && plane_at(high - 1) < 0) --high;
  if (low >= high) return;
  const int64_t first = int64_t(map.pixel.size()), offset = row * t.row_step;
  const auto place_at = [&](int64_t col) {
    const int64_t plane = plane_at(col);
    return plane < 0 ? -1 : plane * w.plane_floats + start + (col / w.col_step - w.first_col) * w.lanes_per_col;
  };
  if (w.lanes_per_col == 1 && w.col_step == 1) {
    const int64_t pixel = offset + low * t.col_step, place = place_at(low);
    if (first > 0) {
      PixelMap::Run& before = map.runs.back();
      if (map.pixel.back() + before.length * t.col_step == pixel && map.place.back() + before.length == place) {
        before.length += high - low;
        return;
      }
    }
    map.pixel.push_back(pixel);
    map.place.push_back(place);
    map.runs.push_back({first, high - low, true});
    return;
  }
  const bool joins = first > 0 && w.lanes_per_col > 1 && map.pixel.back() + t.col_step == offset + low * t.col_step;
  for (int64_t col = low; col < high; ++col) {
    map.pixel.push_back(offset + col * t.col_step);
    map.place.push_back(place_at(col));
  }
  if (joins) map.runs.back().length += high - low;
  else map.runs.push_back({first, high - low, false});
}

void find_gaps(const Window& w, PixelMap& map) {
  int64_t planes = 0;
  for (int64_t i = 0; i < w.row_step * w.col_step; ++i) planes = std::max(planes, w.plane_of_phase[i] + 1);
  const int64_t row_cells = w.row_floats / w.lanes_per_col, plane_cells = w.rows * row_cells;
  map.filled.assign(size_t(planes * plane_cells), 0);
  for (const PixelMap::Run& run : map.runs)
    for (int64_t i = 0; i < (run.straight ? 1 : run.length); ++i) {
      const int64_t place = map.place[size_t(run.first + i)];
      if (place < 0) continue;
      const int64_t plane = place / w.plane_floats, cell = (place - plane * w.plane_floats) / w.lanes_per_col;
      std::memset(map.filled.data() + plane * plane_cells + cell, 1, size_t(run.straight ? run.length : 1));
    }
  for (int64_t plane = 0; plane < planes; ++plane) {
    const char* filled = map.filled.data() + plane * plane_cells;
    for (int64_t cell = 0; cell < plane_cells;) {
      int64_t end = cell;
      while (end < plane_cells && !filled[end]) ++end;
      if (end > cell) map.gaps.push_back({plane * w.plane_floats + cell * w.lanes_per_col, (end - cell) * w.lanes_per_col});
      cell = end + 1;
    }
    if (w.spare) map.gaps.push_back({plane * w.plane_floats + plane_cells * w.lanes_per_col, w.spare});
  }
}

void steps(std::vector<int64_t>& offsets, int64_t count, int64_t step) {
  offsets.resize(size_t(count));
  for (int64_t i = 0; i < count; ++i) offsets[size_t(i)] = i * step;
}

constexpr int64_t no_offset = 0;
LanesArgs one_stretch(const float* src, float* dst, int64_t length, int64_t ahead, int32_t bypass) {
  return {src, dst, &no_offset, &no_offset, 1, length, length, ahead, bypass};
}

// Pixels of one image that lie apart, channel by channel. Their lines are fetched a channel ahead: too short for the
// hardware to see a pattern.
void pick(const float* src, const Images& t, const PixelMap& map, int64_t channel_floats, int64_t channels, float* panel) {
  const int64_t step = t.col_step;
  constexpr int64_t line = 16;
  for (int64_t c = 0; c < channels; ++c) {
    const float* const from = src + c * t.channel_step;
    float* const to = panel + c * channel_floats;
    const bool more = c + 1 < channels;
    for (const PixelMap::Run& run : map.runs) {
      const float* const a = from + map.pixel[size_t(run.first)];
      const int64_t* const place = map.place.data() + run.first;
      if (more)
        for (int64_t i = 0; i < run.length * step; i += line) __builtin_prefetch(a + t.channel_step + i, 0, 2);
      if (!run.straight) {
        for (int64_t i = 0; i < run.length; ++i)
          if (place[i] >= 0) to[place[i]] = a[i * step];
      } else if (step == 2) {
        float* const b = to + place[0];
        for (int64_t i = 0; i < run.length; ++i) b[i] = a[2 * i];
      } else {
        float* const b = to + place[0];
        for (int64_t i = 0; i < run.length; ++i) b[i] = a[i * step];
      }
    }
  }
}

// How far ahead of a channel a copy fetches what a later channel keeps at the same place, in floats from the one to the other;
// 0 where there is none. `stretch` floats are read of each channel.
int64_t fetch_ahead(const Images& t, int64_t channel, int64_t stretch) {
  constexpr int64_t worth = 1536;  // fewer floats are copied before memory has answered
  const int64_t channels = std::max<int64_t>(1, worth / std::max<int64_t>(stretch, 1));
  return channel + channels < t.channels ? channels * t.channel_step : 0;
}

bool channels_innermost(const Images& t) { return t.channel_step == 1 && (t.col_step != 1 || t.cols == 1); }

}  // namespace

void map_pixels(const Images& tensor, const Window& w, PixelMap& map) {
  map.runs.clear(), map.pixel.clear(), map.place.clear(), map.gaps.clear();
  const Range rows = range_of(w.first_row, w.rows, w.row_step, tensor.rows);
  const Range cols = range_of(w.first_col, w.cols, w.col_step, tensor.cols);
  for (int64_t row = rows.low; row < rows.high; ++row) map_row(tensor, w, row, cols, map);
  find_gaps(w, map);
}

void pack(const Images& src, const PixelMap& map, int64_t lanes_per_col, int64_t channel_floats, int64_t first_image,
          int64_t first_channel, int64_t channels, const Level& level, Offsets& offsets, float* panel) {
  const int64_t images = std::min(lanes_per_col, src.images - first_image);
  const int64_t base = first_image * src.image_step + first_channel * src.channel_step;
  const int64_t floats = extent(src);
  steps(offsets.images, images, src.image_step);
  for (int64_t c = 0; c < channels; ++c)
    for (const PixelMap::Gap& gap : map.gaps)
      std::memset(panel + c * channel_floats + gap.start, 0, size_t(gap.length) * sizeof(float));
  if (lanes_per_col > 1 && src.image_step == 1 && images > 1) {  // images innermost
    for (int64_t c = 0; c < channels; ++c) {
      LanesArgs a{src.data + base + c * src.channel_step, panel + c * channel_floats, map.pixel.data(), map.place.data(),
                  int64_t(map.pixel.size()), images, lanes_per_col, c + 1 < channels ? src.channel_step : 0, 0};
      level.lanes(&a);
    }
    return;
  }
  const bool by_channel = channels_innermost(src);
  if (lanes_per_col == 1 && src.col_step != 1 && !by_channel) {
    pick(src.data + base, src, map, channel_floats, channels, panel);
    return;
  }
  if (by_channel) steps(offsets.channels, channels, channel_floats);
  std::vector<int64_t>& columns = offsets.images;  // in the columns layout there is one image, so its table is free
  for (const PixelMap::Run& run : map.runs) {
    const int64_t* place = map.place.data() + run.first;
    const int64_t start = base + map.pixel[size_t(run.first)];
    if (by_channel && lanes_per_col == 1 && run.straight) {
      steps(columns, run.length, src.col_step);
      TransposeArgs a{src.data + start, panel + place[0], columns.data(), offsets.channels.data(), run.length, channels,
                      run.length, floats - start - columns.back(), 0, read_strip, 0};
      level.transpose(&a);
    } else if (by_channel) {
      if (lanes_per_col == 1) steps(offsets.images, images, src.image_step);
      for (int64_t i = 0; i < run.length; ++i) {
        if (place[i] < 0) continue;
        const int64_t at = start + i * src.col_step;
        TransposeArgs a{src.data + at, panel + place[i], offsets.images.data(), offsets.channels.data(), images, channels,
                        lanes_per_col, floats - at - offsets.images.back(), 0, read_strip, 0};
        level.transpose(&a);
      }
    } else {
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t at = start + c * src.channel_step;
        float* const to = panel + c * channel_floats;
        if (src.col_step == 1 && lanes_per_col == 1 && run.straight) {
          const LanesArgs a = one_stretch(src.data + at, to + place[0], run.length,
                                          fetch_ahead(src, first_channel + c, run.length), 0);
          level.lanes(&a);
        } else if (src.col_step == 1 && lanes_per_col > 1) {
          TransposeArgs a{src.data + at, to, offsets.images.data(), place, images, run.length, lanes_per_col,
                          floats - at - offsets.images.back(), c + 1 < channels ? src.channel_step : 0, read_strip, 0};
          level.transpose(&a);
        } else {
          for (int64_t p = 0; p < run.length; ++p) {
            const int64_t cell = run.straight ? place[0] + p : place[p];
            if (cell < 0) continue;
            for (int64_t i = 0; i < images; ++i) to[cell + i] = src.data[at + p * src.col_step + i * src.image_step];
            for (int64_t i = images; i < lanes_per_col; ++i) to[cell + i] = 0.0f;
          }
        }
      }
    }
  }
}

namespace {

void copy_out(const float* tile, const PixelMap& map, int64_t lanes_per_col, int64_t channel_floats, int64_t first_image,
              int64_t first_channel, int64_t channels, const Level& level, Offsets& offsets, const Images& dst,
              int32_t bypass) {
  const int64_t images = std::min(lanes_per_col, dst.images - first_image);
  float* const base = dst.data + first_image * dst.image_step + first_channel * dst.channel_step;
  steps(offsets.images, images, dst.image_step);
  if (lanes_per_col > 1 && dst.image_step == 1 && images > 1) {
    for (int64_t c = 0; c < channels; ++c) {
      LanesArgs a{tile + c * channel_floats, base + c * dst.channel_step, map.place.data(), map.pixel.data(),
                  int64_t(map.pixel.size()), images, images, 0, bypass};
      level.lanes(&a);
    }
    return;
  }
  const bool by_channel = channels_innermost(dst);
  if (by_channel) steps(offsets.channels, channels, channel_floats);
  std::vector<int64_t>& columns = offsets.images;
  for (const PixelMap::Run& run : map.runs) {
    const int64_t* place = map.place.data() + run.first;
    float* const start = base + map.pixel[size_t(run.first)];
    if (by_channel && lanes_per_col == 1 && run.straight) {
      steps(columns, run.length, dst.col_step);
      TransposeArgs a{tile + place[0], start, offsets.channels.data(), columns.data(), channels, run.length, channels,
                      run.length, 0, write_strip, 0};
      level.transpose(&a);
    } else if (by_channel) {
      if (lanes_per_col == 1) steps(offsets.images, images, dst.image_step);
      for (int64_t i = 0; i < run.length; ++i) {
        TransposeArgs a{tile + place[i], start + i * dst.col_step, offsets.channels.data(), offsets.images.data(), channels,
                        images, channels, lanes_per_col, 0, write_strip, bypass};
        level.transpose(&a);
      }
    } else {
      for (int64_t c = 0; c < channels; ++c) {
        const float* const from = tile + c * channel_floats;
        float* const to = start + c * dst.channel_step;
        if (dst.col_step == 1 && lanes_per_col == 1 && run.straight) {
          const LanesArgs a = one_stretch(from + place[0], to, run.length, 0, bypass && run.length >= worth_bypassing);
          level.lanes(&a);
        } else if (dst.col_step == 1 && lanes_per_col > 1) {
          TransposeArgs a{from, to, place, offsets.images.data(), run.length, images, run.length, lanes_per_col, 0, write_strip, bypass};
          level.transpose(&a);
        } else {
          for (int64_t p = 0; p < run.length; ++p) {
            const int64_t cell = run.straight ? place[0] + p : place[p];
            for (int64_t i = 0; i < images; ++i) to[p * dst.col_step + i * dst.image_step] = from[cell + i];
          }
        }
      }
    }
  }
}

}  // namespace

void unpack(const float* tile, const PixelMap& map, int64_t lanes_per_col, int64_t channel_floats, int64_t first_image,
            int64_t first_channel, int64_t channels, const Level& level, Offsets& offsets, const Images& dst) {
  const int32_t bypass = dst.images * dst.channels * dst.rows * dst.cols >= bypass_floats;
  copy_out(tile, map, lanes_per_col, channel_floats, first_image, first_channel, channels, level, offsets, dst, bypass);
  if (bypass) store_fence();
}

}  // namespace tamis
