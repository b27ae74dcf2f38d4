// Between tensors in any strides and panels or tiles, whose cells are [channel][plane][row][col][lane].
//
//   map_pixels: for rows of a window         where its pixels lie, and which cells stay empty; once for each place of a tile
//   pack:       for channels                 empty cells are cleared
//               for pictures, runs           by what lies innermost in the tensor:
//                 images                     a vector of images per pixel                                kernels/lanes.cpp
//                 columns, an image a cell   rows of a picture, every float or every second              kernels/pictures.cpp
//                 columns, images a cell     a matrix of images and pixels, turned in strips             kernels/transpose.cpp
//                 channels                   a matrix of pixels (or images) and channels, turned         kernels/transpose.cpp
//                 nothing                    float by float
//   unpack:     the same way back, past the caches where the destination is large
//
// Nothing is computed: the bound is memory, or the cache that holds the tensor, each float once.
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

// Adds a row of pixels to the picture of its phase, or to the end of the row before where memory and cells go straight on.
void add_row(int64_t phase, int64_t pixel, int64_t place, int64_t cols, int64_t col_step, PixelMap& map) {
  for (PixelMap::Picture& p : map.pictures) {
    if (p.phase != phase || p.col_step != col_step) continue;
    if (p.rows == 1 && p.pixel + p.cols * col_step == pixel && p.place + p.cols == place) {
      p.cols += cols;
      return;
    }
    if (p.cols != cols) continue;
    if (p.rows == 1) p.row_step = pixel - p.pixel, p.place_step = place - p.place;
    if (p.pixel + p.rows * p.row_step == pixel && p.place + p.rows * p.place_step == place) {
      ++p.rows;
      return;
    }
  }
  map.pictures.push_back({phase, pixel, place, 1, cols, col_step, 0, 0});
}

// Appends the wanted pixels of one tensor row.
void map_row(const Images& t, const Window& w, int64_t row, const Range& cols, PixelMap& map) {
  const int64_t phase_row = floor_div(row, w.row_step), row_phase = row - phase_row * w.row_step;
  const int64_t* planes = w.plane_of_phase + row_phase * w.col_step;
  const int64_t start = (phase_row - w.first_row) * w.row_floats, offset = row * t.row_step;
  const auto place_at = [&](int64_t col) {
    const int64_t plane = planes[col % w.col_step];
    return plane < 0 ? -1 : plane * w.plane_floats + start + (col / w.col_step - w.first_col) * w.lanes_per_col;
  };
  if (w.lanes_per_col == 1) {
    for (int64_t low = cols.low; low < std::min(cols.high, cols.low + w.col_step); ++low)
      if (const int64_t place = place_at(low); place >= 0)
        add_row(row_phase * w.col_step + low % w.col_step, offset + low * t.col_step, place,
                (cols.high - low + w.col_step - 1) / w.col_step, w.col_step * t.col_step, map);
    return;
  }
  int64_t low = cols.low, high = cols.high;
  while (low < high && place_at(low) < 0) ++low;
  while (low < high && place_at(high - 1) < 0) --high;
  if (low >= high) return;
  const int64_t first = int64_t(map.pixel.size());
  const bool joins = first > 0 && map.pixel.back() + t.col_step == offset + low * t.col_step;
  for (int64_t col = low; col < high; ++col) {
    map.pixel.push_back(offset + col * t.col_step);
    map.place.push_back(place_at(col));
  }
  if (joins) map.runs.back().length += high - low;
  else map.runs.push_back({first, high - low});
}

void find_gaps(const Window& w, PixelMap& map) {
  int64_t planes = 0;
  for (int64_t i = 0; i < w.row_step * w.col_step; ++i) planes = std::max(planes, w.plane_of_phase[i] + 1);
  const int64_t row_cells = w.row_floats / w.lanes_per_col, plane_cells = w.rows * row_cells;
  map.filled.assign(size_t(planes * plane_cells), 0);
  const auto fill = [&](int64_t place, int64_t cells) {
    const int64_t plane = place / w.plane_floats, cell = (place - plane * w.plane_floats) / w.lanes_per_col;
    std::memset(map.filled.data() + plane * plane_cells + cell, 1, size_t(cells));
  };
  for (const PixelMap::Picture& p : map.pictures)
    for (int64_t row = 0; row < p.rows; ++row) fill(p.place + row * p.place_step, p.cols);
  for (int64_t place : map.place)
    if (place >= 0) fill(place, 1);
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
LanesArgs one_stretch(const float* src, float* dst, int64_t length, int32_t bypass) {
  return {src, dst, &no_offset, &no_offset, 1, length, length, 0, bypass};
}

// How many channels ahead a copy fetches what lies at the same place there; `stretch` floats are read of each channel.
int64_t channels_ahead(int64_t stretch) {
  constexpr int64_t worth = 1536;  // fewer floats are copied before memory has answered
  return std::max<int64_t>(1, worth / std::max<int64_t>(stretch, 1));
}

bool channels_innermost(const Images& t) { return t.channel_step == 1 && (t.col_step != 1 || t.cols == 1); }

// Most gaps are a cell or two beside a row: too short for a call.
void clear(const PixelMap& map, float* channel) {
  for (const PixelMap::Gap& gap : map.gaps) {
    float* const to = channel + gap.start;
    if (gap.length > 2) {
      std::memset(to, 0, size_t(gap.length) * sizeof(float));
      continue;
    }
    to[0] = 0.0f;
    to[gap.length - 1] = 0.0f;
  }
}

// One image per cell. `src` is the image's first wanted channel, `more` the number of channels behind the wanted ones.
void pack_picture(const float* src, const Images& t, const PixelMap::Picture& p, int64_t channel_floats, int64_t channels,
                  int64_t more, const Level& level, float* panel) {
  const float* const from = src + p.pixel;
  float* const to = panel + p.place;
  if (p.col_step > 2 || p.col_step < 1) {
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t row = 0; row < p.rows; ++row) {
        const float* const a = from + c * t.channel_step + row * p.row_step;
        float* const b = to + c * channel_floats + row * p.place_step;
        for (int64_t i = 0; i < p.cols; ++i) b[i] = a[i * p.col_step];
      }
    return;
  }
  const int64_t ahead = channels_ahead(p.rows * p.cols), fetching = std::clamp<int64_t>(channels + more - ahead, 0, channels);
  PicturesArgs a{from,     to,     t.channel_step, channel_floats, p.row_step, p.place_step,
                 p.col_step, fetching, p.rows, p.cols, ahead * t.channel_step};
  level.pictures(&a);
  a.src += fetching * t.channel_step, a.dst += fetching * channel_floats;
  a.channels = channels - fetching, a.ahead = 0;
  level.pictures(&a);
}

}  // namespace

void map_pixels(const Images& tensor, const Window& w, PixelMap& map) {
  map.pictures.clear(), map.runs.clear(), map.pixel.clear(), map.place.clear(), map.gaps.clear();
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
  for (int64_t c = 0; c < channels; ++c) clear(map, panel + c * channel_floats);
  if (lanes_per_col > 1 && src.image_step == 1 && images > 1) {  // images innermost
    for (int64_t c = 0; c < channels; ++c) {
      LanesArgs a{src.data + base + c * src.channel_step, panel + c * channel_floats, map.pixel.data(), map.place.data(),
                  int64_t(map.pixel.size()), images, lanes_per_col, c + 1 < channels ? src.channel_step : 0, 0};
      level.lanes(&a);
    }
    return;
  }
  const bool by_channel = channels_innermost(src);
  if (by_channel) steps(offsets.channels, channels, channel_floats);
  for (const PixelMap::Picture& p : map.pictures) {
    if (!by_channel) {
      pack_picture(src.data + base, src, p, channel_floats, channels, src.channels - first_channel - channels, level, panel);
      continue;
    }
    std::vector<int64_t>& columns = offsets.images;  // there is one image, so its table is free
    steps(columns, p.cols, p.col_step);
    for (int64_t row = 0; row < p.rows; ++row) {
      const int64_t start = base + p.pixel + row * p.row_step;
      TransposeArgs a{src.data + start, panel + p.place + row * p.place_step, columns.data(), offsets.channels.data(), p.cols,
                      channels, p.cols, floats - start - columns.back(), 0, read_strip, 0};
      level.transpose(&a);
    }
  }
  for (const PixelMap::Run& run : map.runs) {
    const int64_t* place = map.place.data() + run.first;
    const int64_t start = base + map.pixel[size_t(run.first)];
    if (by_channel) {
      for (int64_t i = 0; i < run.length; ++i) {
        if (place[i] < 0) continue;
        const int64_t at = start + i * src.col_step;
        TransposeArgs a{src.data + at, panel + place[i], offsets.images.data(), offsets.channels.data(), images, channels,
                        lanes_per_col, floats - at - offsets.images.back(), 0, read_strip, 0};
        level.transpose(&a);
      }
      continue;
    }
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t at = start + c * src.channel_step;
      float* const to = panel + c * channel_floats;
      if (src.col_step == 1) {
        TransposeArgs a{src.data + at, to, offsets.images.data(), place, images, run.length, lanes_per_col,
                        floats - at - offsets.images.back(), c + 1 < channels ? src.channel_step : 0, read_strip, 0};
        level.transpose(&a);
        continue;
      }
      for (int64_t p = 0; p < run.length; ++p) {
        if (place[p] < 0) continue;
        for (int64_t i = 0; i < images; ++i) to[place[p] + i] = src.data[at + p * src.col_step + i * src.image_step];
        for (int64_t i = images; i < lanes_per_col; ++i) to[place[p] + i] = 0.0f;
      }
    }
  }
}

namespace {

void unpack_picture(const float* tile, const PixelMap::Picture& p, int64_t channel_floats, int64_t channels, const Level& level,
                    int32_t bypass, int64_t channel_step, float* dst) {
  const float* const from = tile + p.place;
  float* const to = dst + p.pixel;
  if (p.col_step == 1 && !(bypass && p.cols >= worth_bypassing)) {
    const PicturesArgs a{from, to, channel_floats, channel_step, p.place_step, p.row_step, 1, channels, p.rows, p.cols, 0};
    level.pictures(&a);
    return;
  }
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t row = 0; row < p.rows; ++row) {
      const float* const a = from + c * channel_floats + row * p.place_step;
      float* const b = to + c * channel_step + row * p.row_step;
      if (p.col_step == 1) {
        const LanesArgs stretch = one_stretch(a, b, p.cols, bypass);
        level.lanes(&stretch);
      } else {
        for (int64_t i = 0; i < p.cols; ++i) b[i * p.col_step] = a[i];
      }
    }
}

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
  for (const PixelMap::Picture& p : map.pictures) {
    if (!by_channel) {
      unpack_picture(tile, p, channel_floats, channels, level, bypass, dst.channel_step, base);
      continue;
    }
    std::vector<int64_t>& columns = offsets.images;
    steps(columns, p.cols, p.col_step);
    for (int64_t row = 0; row < p.rows; ++row) {
      TransposeArgs a{tile + p.place + row * p.place_step, base + p.pixel + row * p.row_step, offsets.channels.data(),
                      columns.data(), channels, p.cols, channels, p.cols, 0, write_strip, 0};
      level.transpose(&a);
    }
  }
  for (const PixelMap::Run& run : map.runs) {
    const int64_t* place = map.place.data() + run.first;
    float* const start = base + map.pixel[size_t(run.first)];
    if (by_channel) {
      for (int64_t i = 0; i < run.length; ++i) {
        TransposeArgs a{tile + place[i], start + i * dst.col_step, offsets.channels.data(), offsets.images.data(), channels,
                        images, channels, lanes_per_col, 0, write_strip, bypass};
        level.transpose(&a);
      }
      continue;
    }
    for (int64_t c = 0; c < channels; ++c) {
      const float* const from = tile + c * channel_floats;
      float* const to = start + c * dst.channel_step;
      if (dst.col_step == 1) {
        TransposeArgs a{from, to, place, offsets.images.data(), run.length, images, run.length, lanes_per_col, 0, write_strip, bypass};
        level.transpose(&a);
        continue;
      }
      for (int64_t p = 0; p < run.length; ++p)
        for (int64_t i = 0; i < images; ++i) to[p * dst.col_step + i * dst.image_step] = from[place[p] + i];
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
