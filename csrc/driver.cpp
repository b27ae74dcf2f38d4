#include "driver.h"

#include <algorithm>
#include <atomic>
#include <climits>

#include "panel.h"
#include "scratch.h"
#include "tasks.h"

namespace tamis {
namespace {

// What a thread keeps from call to call.
struct Workspace {
  // The pixels of a tile, the same for all images; mapped when the first image comes by.
  struct Place {
    bool mapped = false;
    PixelMap source, target;
  };
  Scratch panel, tile, cursor, next, table_memory;
  Offsets offsets;
  int64_t plan = -1;  // which plan table and places belong to; a plan's number is never used again
  const int32_t* table = nullptr;
  std::vector<Place> places;
};
Workspace& workspace() {
  static thread_local Workspace w;
  return w;
}

int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

double live_per_pair(const Product& p, const Weights& w) {
  int64_t live = 0;
  for (const Phase& phase : p.phases)
    live += w.row_ptr[phase.first_weight_row + p.dst.channels] - w.row_ptr[phase.first_weight_row];
  const double pairs = double(p.dst.channels) * double(p.src.channels) / double(p.groups);
  return pairs > 0 ? double(live) / pairs : 0;
}

int64_t next_plan_number() {
  static std::atomic<int64_t> number{0};
  return number++;
}

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
  int64_t number;

  int64_t places() const { return tiling.row_blocks * tiling.col_blocks; }
  int64_t tiles() const { return tiling.image_blocks * places(); }
  int64_t phases() const { return int64_t(product.phases.size()); }
  int64_t row_length() const { return product.src.channels / product.groups * product.taps; }
  int64_t tile_channel_floats() const { return phases() * tiling.phase_floats; }
};

Plan make_plan(const Product& p, const Weights& w, const Level& level, int64_t registers, Layout layout, int64_t parts_wanted,
               int64_t parts_there) {
  TileLimits limits;
  level.limits(&limits);
  Plan plan{p, w, level, choose_tiling(p, limits, registers, live_per_pair(p, w), layout), limits.lanes, 1, 0, {},
            next_plan_number()};
  const int64_t channels = p.dst.channels / p.groups;
  // Each chunk packs the panel again, so cut channels only where tiles alone leave threads idle.
  parts_there = parts_there ? parts_there : plan.tiles() * p.groups;
  if (parts_there < parts_wanted)
    plan.chunks = std::clamp<int64_t>(up(parts_wanted, std::max<int64_t>(1, parts_there)), 1, up(channels, 16));
  plan.chunk_channels = up(channels, std::max<int64_t>(1, plan.chunks));
  plan.plane_of_target_phase.assign(size_t(p.target_step_rows * p.target_step_cols), -1);
  for (size_t i = 0; i < p.phases.size(); ++i)
    plan.plane_of_target_phase[size_t(p.phases[i].row_phase * p.target_step_cols + p.phases[i].col_phase)] = int64_t(i);
  return plan;
}

// One tile of one channel chunk of one group. Rows and columns count positions of a phase.
struct Task {
  int64_t place, first_image, first_row, rows, first_col, cols, group, first_channel, channels;
};

Task task_at(const Plan& plan, int64_t tile, int64_t group, int64_t chunk) {
  const Tiling& t = plan.tiling;
  const int64_t per_group = plan.product.dst.channels / plan.product.groups, channel = chunk * plan.chunk_channels;
  // Images innermost share cache lines and pages, so their tiles of one place come together; otherwise the tiles of one
  // image do, which follow each other in memory.
  const bool by_place = plan.product.src.image_step == 1;
  const int64_t place = by_place ? tile / t.image_blocks : tile % plan.places();
  const int64_t image_block = by_place ? tile % t.image_blocks : tile / plan.places();
  return {place,
          image_block * t.lanes_per_col,
          place / t.col_blocks * t.tile_rows,
          t.tile_rows,
          place % t.col_blocks * t.tile_cols,
          t.tile_cols,
          group,
          group * per_group + channel,
          std::max<int64_t>(0, std::min(plan.chunk_channels, per_group - channel))};
}

// The part of a tile that a phase has.
struct Part {
  int64_t rows, cols;
  bool empty() const { return rows <= 0 || cols <= 0; }
};
Part part_of(const Task& task, const Phase& phase) {
  return {std::min(task.rows, phase.rows - task.first_row), std::min(task.cols, phase.cols - task.first_col)};
}

// What all phases of a tile need of the source.
Window source_window(const Plan& plan, const Task& task) {
  const Tiling& t = plan.tiling;
  return {task.first_row + t.row_shift, task.first_col + t.col_shift, t.panel_rows, t.panel_cols,
          plan.product.source_step_rows, plan.product.source_step_cols, t.panel_row_floats, t.plane_floats, t.lanes_per_col,
          t.images ? 0 : plan.lanes, t.plane_of_phase.data()};
}

Window target_window(const Plan& plan, const Task& task) {
  const Tiling& t = plan.tiling;
  return {task.first_row, task.first_col, task.rows, task.cols, plan.product.target_step_rows, plan.product.target_step_cols,
          t.tile_row_floats, t.phase_floats, t.lanes_per_col, t.images ? 0 : plan.lanes, plan.plane_of_target_phase.data()};
}

// Flat index inside a weight row -> offset in the panel of the channel block that the index belongs to, for each phase.
void fill_table(const Plan& plan, int32_t* table) {
  const Tiling& t = plan.tiling;
  const int64_t channels = plan.product.src.channels / plan.product.groups, taps = plan.product.taps;
  int32_t* next = table;
  for (int64_t phase = 0; phase < plan.phases(); ++phase)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t tap = 0; tap < taps; ++tap)
        *next++ = int32_t(c % t.channel_block * t.channel_floats + t.tap_offset[size_t(phase * taps + tap)]);
}

// Makes the thread's table and maps fit a task.
Workspace::Place& prepare(const Plan& plan, const Task& task, Workspace& ws) {
  if (ws.plan != plan.number) {
    ws.plan = -1;
    int32_t* table = ws.table_memory.take<int32_t>(plan.phases() * plan.row_length());
    fill_table(plan, table);
    ws.table = table;
    ws.places.resize(size_t(plan.places()));
    for (Workspace::Place& place : ws.places) place.mapped = false;
    ws.plan = plan.number;
  }
  Workspace::Place& place = ws.places[size_t(task.place)];
  if (!place.mapped) {
    map_pixels(plan.product.src, source_window(plan, task), place.source);
    map_pixels(plan.product.dst, target_window(plan, task), place.target);
    place.mapped = true;
  }
  return place;
}

// Calls visit(panel position, tile position, rows, vectors) for every register tile of a part.
template <typename Visit>
void for_register_tiles(const Plan& plan, const Part& part, const Visit& visit) {
  const Tiling& t = plan.tiling;
  const int64_t lanes = plan.lanes;
  const int64_t rows = t.images ? part.rows : 1;
  const int64_t vectors = t.images ? part.cols * t.lanes_per_col / lanes
                                   : up((part.rows - 1) * t.tile_row_floats + part.cols, lanes);
  for (int64_t i = 0; i < rows; i += t.step_rows)
    for (int64_t v = 0; v < vectors; v += t.step_vectors)
      visit(i * t.panel_row_floats + v * lanes, i * t.tile_row_floats + v * lanes, int32_t(std::min(t.step_rows, rows - i)),
            int32_t(std::min(t.step_vectors, vectors - v)));
}

// Packs one channel block after the other and hands it, phase by phase, to
// visit(phase, part, panel, table, cursor, next, row_end, limit, first).
template <typename Visit>
void for_channel_blocks(const Plan& plan, const Task& task, const PixelMap& source, Workspace& ws, const Visit& visit) {
  const Tiling& t = plan.tiling;
  const Product& p = plan.product;
  const int64_t per_group = p.src.channels / p.groups, phases = plan.phases();
  int64_t* cursor = ws.cursor.take<int64_t>(phases * task.channels);
  int64_t* next = ws.next.take<int64_t>(phases * task.channels);
  bool nothing = true;
  for (int64_t i = 0; i < phases; ++i) {
    const int64_t* row_ptr = plan.weights.row_ptr + p.phases[size_t(i)].first_weight_row + task.first_channel;
    std::copy(row_ptr, row_ptr + task.channels, cursor + i * task.channels);
    nothing = nothing && row_ptr[0] == row_ptr[task.channels];
  }
  float* panel = ws.panel.take<float>(t.channel_block * t.channel_floats);
  for (int64_t c = 0; c < std::max<int64_t>(per_group, 1); c += t.channel_block) {
    const int64_t channels = std::min(t.channel_block, per_group - c);
    const bool last = nothing || c + t.channel_block >= per_group;
    if (!nothing)
      pack(p.src, source, t.lanes_per_col, t.channel_floats, task.first_image, task.group * per_group + c, channels,
           plan.level, ws.offsets, panel);
    for (int64_t i = 0; i < phases; ++i) {
      const Phase& phase = p.phases[size_t(i)];
      const Part part = part_of(task, phase);
      if (part.empty()) continue;
      visit(i, part, panel, ws.table + i * plan.row_length(), cursor + i * task.channels, next + i * task.channels,
            plan.weights.row_ptr + phase.first_weight_row + task.first_channel + 1,
            last ? INT_MAX : int32_t((c + channels) * p.taps), c == 0);
    }
    if (last) break;
    std::swap(cursor, next);
  }
}

void multiply_task(const Plan& plan, const Task& task, const Epilogue& e) {
  const Tiling& t = plan.tiling;
  if (task.channels <= 0) return;
  Workspace& ws = workspace();
  const Workspace::Place& place = prepare(plan, task, ws);
  const int64_t channel_floats = plan.tile_channel_floats();
  float* tile = ws.tile.take<float>(task.channels * channel_floats);
  if (e.residual) {
    Images residual = plan.product.dst;
    residual.data = const_cast<float*>(e.residual);
    pack(residual, place.target, t.lanes_per_col, channel_floats, task.first_image, task.first_channel, task.channels,
         plan.level, ws.offsets, tile);
  }
  for_channel_blocks(plan, task, place.source, ws, [&](int64_t phase, const Part& part, const float* panel,
                                                       const int32_t* table, int64_t* cursor, int64_t* next,
                                                       const int64_t* row_end, int32_t limit, bool first) {
    const int32_t start = !first ? START_FROM_OUT : e.residual ? START_FROM_OUT_AND_BIAS : START_FROM_BIAS;
    for_register_tiles(plan, part, [&](int64_t from, int64_t to, int32_t rows, int32_t vectors) {
      MultiplyArgs a{plan.weights.values, plan.weights.indices, table, cursor, next, row_end,
                     e.bias ? e.bias + task.first_channel : nullptr, panel + from, tile + phase * t.phase_floats + to,
                     task.channels, t.panel_row_floats, t.tile_row_floats, channel_floats, limit, start,
                     e.relu && limit == INT_MAX, rows, vectors};
      plan.level.multiply(&a);
    });
  });
  unpack(tile, place.target, t.lanes_per_col, channel_floats, task.first_image, task.first_channel, task.channels, plan.level,
         ws.offsets, plan.product.dst);
}

void gradient_task(const Plan& plan, const Task& task, float* grad_values) {
  const Tiling& t = plan.tiling;
  if (task.channels <= 0) return;
  Workspace& ws = workspace();
  const Workspace::Place& place = prepare(plan, task, ws);
  const int64_t channel_floats = plan.tile_channel_floats();
  float* tile = ws.tile.take<float>(task.channels * channel_floats);
  // Zeros fill the lanes past the last column and image, so they add nothing to any weight.
  pack(plan.product.dst, place.target, t.lanes_per_col, channel_floats, task.first_image, task.first_channel, task.channels,
       plan.level, ws.offsets, tile);
  for_channel_blocks(plan, task, place.source, ws, [&](int64_t, const Part& part, const float* panel, const int32_t* table, int64_t* cursor,
                                         int64_t* next, const int64_t* row_end, int32_t limit, bool) {
    for_register_tiles(plan, part, [&](int64_t from, int64_t to, int32_t rows, int32_t vectors) {
      DotArgs a{tile + to, plan.weights.indices, table, cursor, next, row_end, panel + from, grad_values, task.channels,
                t.panel_row_floats, t.tile_row_floats, channel_floats, limit, rows, vectors};
      plan.level.dot(&a);
    });
  });
}

}  // namespace

void multiply(const Product& product, const Weights& w, const Epilogue& e, const Level& level, Layout layout,
              const Parallel& parallel) {
  if (product.dst.images == 0 || product.dst.channels == 0 || product.phases.empty()) return;
  TileLimits limits;
  level.limits(&limits);
  const Product p = layout == Layout::automatic ? flatten_pointwise(product) : product;
  const Plan plan = make_plan(p, w, level, limits.multiply, layout, parallel.threads, 0);
  run_tasks(parallel, plan.tiles() * p.groups * plan.chunks, [&](int64_t i) {
    const int64_t chunk = i % plan.chunks, group = i / plan.chunks % p.groups, tile = i / plan.chunks / p.groups;
    multiply_task(plan, task_at(plan, tile, group, chunk), e);
  });
}

void weight_gradient(const Product& product, const Weights& w, float* grad_values, const Level& level, Layout layout,
                     const Parallel& parallel) {
  const int64_t live = w.row_ptr[product.dst.channels];
  std::fill(grad_values, grad_values + live, 0.0f);
  if (live == 0 || product.src.images == 0 || product.dst.rows <= 0 || product.dst.cols <= 0) return;
  TileLimits limits;
  level.limits(&limits);
  const Product p = layout == Layout::automatic ? flatten_pointwise(product) : product;
  // Tiles are summed in a fixed number of shares, whatever the number of threads, so that the result does not depend on it.
  constexpr int64_t most_shares = 4;
  const Plan first = make_plan(p, w, level, limits.dot, layout, 1, 0);
  const int64_t shares = std::clamp<int64_t>(first.tiles(), 1, most_shares);
  const Plan plan = make_plan(p, w, level, limits.dot, layout, parallel.threads, shares * p.groups);
  static thread_local Scratch partial_sums;
  float* partial = partial_sums.take<float>(live * (shares - 1));
  std::fill(partial, partial + live * (shares - 1), 0.0f);
  const int64_t per_share = up(plan.tiles(), shares);
  run_tasks(parallel, shares * p.groups * plan.chunks, [&](int64_t i) {
    const int64_t chunk = i % plan.chunks, group = i / plan.chunks % p.groups, share = i / plan.chunks / p.groups;
    float* into = share ? partial + (share - 1) * live : grad_values;
    for (int64_t tile = share * per_share; tile < std::min(plan.tiles(), (share + 1) * per_share); ++tile)
      gradient_task(plan, task_at(plan, tile, group, chunk), into);
  });
  for (int64_t share = 0; share + 1 < shares; ++share)
    for (int64_t k = 0; k < live; ++k) grad_values[k] += partial[share * live + k];
}

}  // namespace tamis
