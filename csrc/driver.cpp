#include "driver.h"

#include <algorithm>
#include <climits>
#include <exception>
#include <mutex>

#include "panel.h"
#include "scratch.h"

namespace tamis {
namespace {

// What a thread keeps from call to call.
struct Workspace {
  Scratch panel, tile, cursor, next, table;
  std::vector<int64_t> map;
};
Workspace& workspace() {
  static thread_local Workspace w;
  return w;
}

int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

double live_per_pair(const Product& p, const Weights& w) {
  int64_t rows = p.dst.channels, live = 0;
  for (const Phase& phase : p.phases) live += w.row_ptr[phase.first_weight_row + rows] - w.row_ptr[phase.first_weight_row];
  const double pairs = double(p.dst.channels) * double(p.src.channels) / double(p.groups);
  return pairs > 0 ? double(live) / double(p.phases.size()) / pairs : 0;
}

// Everything that the tasks of one phase share.
struct Plan {
  const Product& product;
  const Phase& phase;
  const Weights& weights;
  const Level& level;
  Tiling tiling;
  int64_t chunks;         // parts into which each group's destination channels are cut
  int64_t chunk_channels;

  int64_t tiles() const { return tiling.image_blocks * tiling.row_blocks; }
  int64_t tasks() const { return tiles() * product.groups * chunks; }
};

Plan make_plan(const Product& p, const Phase& phase, const Weights& w, const Level& level, int64_t registers, Layout layout,
               int64_t parts_wanted, int64_t parts_there) {
  TileLimits limits;
  level.limits(&limits);
  Plan plan{p, phase, w, level, choose_tiling(p, phase, limits, registers, live_per_pair(p, w), layout), 1, 0};
  const int64_t channels = p.dst.channels / p.groups;
  // Each chunk packs the panel again, so cut channels only where tiles alone leave threads idle.
  parts_there = parts_there ? parts_there : plan.tiles() * p.groups;
  if (parts_there < parts_wanted)
    plan.chunks = std::clamp<int64_t>(up(parts_wanted, std::max<int64_t>(1, parts_there)), 1, up(channels, 16));
  plan.chunk_channels = up(channels, std::max<int64_t>(1, plan.chunks));
  return plan;
}

// One tile of one channel chunk of one group.
struct Task {
  int64_t first_image, first_row, rows, group, first_channel, channels;
};

Task task_at(const Plan& plan, int64_t tile, int64_t group, int64_t chunk) {
  const Tiling& t = plan.tiling;
  const int64_t per_group = plan.product.dst.channels / plan.product.groups;
  const int64_t row = tile % t.row_blocks * t.tile_rows;
  const int64_t channel = chunk * plan.chunk_channels;
  return {tile / t.row_blocks * t.lanes_per_col,
          row,
          std::min(t.tile_rows, plan.phase.rows - row),
          group,
          group * per_group + channel,
          std::max<int64_t>(0, std::min(plan.chunk_channels, per_group - channel))};
}

PanelWindow source_window(const Plan& plan, const Task& task, int64_t first_channel, int64_t channels) {
  const Tiling& t = plan.tiling;
  return {task.first_image, first_channel, channels, task.first_row + t.row_shift, t.col_shift,
          task.rows + t.panel_rows - t.tile_rows, t.panel_cols, plan.product.source_step_rows,
          plan.product.source_step_cols, t.lanes_per_col, t.plane_floats, t.channel_floats, t.plane_of_phase.data()};
}

// Flat index inside a weight row -> offset in the panel of the channel block that the index belongs to.
const int32_t* fill_table(const Plan& plan, int32_t* table) {
  const Tiling& t = plan.tiling;
  const int64_t channels = plan.product.src.channels / plan.product.groups, taps = plan.product.taps;
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t tap = 0; tap < taps; ++tap)
      table[c * taps + tap] = int32_t(c % t.channel_block * t.channel_floats + t.tap_offset[size_t(tap)]);
  return table;
}

// Calls visit(panel position, tile position, rows, vectors) for every register tile of a task.
template <typename Visit>
void for_register_tiles(const Tiling& t, int64_t rows, int64_t lanes, const Visit& visit) {
  for (int64_t i = 0; i < rows; i += t.step_rows)
    for (int64_t v = 0; v < t.row_vectors; v += t.step_vectors)
      visit(i * t.panel_cols * t.lanes_per_col + v * lanes, i * t.row_floats + v * lanes,
            int32_t(std::min(t.step_rows, rows - i)), int32_t(std::min(t.step_vectors, t.row_vectors - v)));
}

// Packs one channel block after the other and hands each to visit(panel, cursor, next, row_end, limit, first).
template <typename Visit>
void for_channel_blocks(const Plan& plan, const Task& task, Workspace& ws, const Visit& visit) {
  const Tiling& t = plan.tiling;
  const int64_t per_group = plan.product.src.channels / plan.product.groups;
  const int64_t* row_ptr = plan.weights.row_ptr + plan.phase.first_weight_row + task.first_channel;
  int64_t* cursor = ws.cursor.take<int64_t>(task.channels);
  int64_t* next = ws.next.take<int64_t>(task.channels);
  std::copy(row_ptr, row_ptr + task.channels, cursor);
  float* panel = ws.panel.take<float>(t.channel_block * t.channel_floats);
  const bool nothing = row_ptr[0] == row_ptr[task.channels];
  for (int64_t c = 0; c < std::max<int64_t>(per_group, 1); c += t.channel_block) {
    const int64_t channels = std::min(t.channel_block, per_group - c);
    const bool last = nothing || c + t.channel_block >= per_group;
    if (!nothing)
      pack(plan.product.src, source_window(plan, task, task.group * per_group + c, channels), plan.level, panel, ws.map);
    visit(panel, cursor, next, row_ptr + 1, last ? INT_MAX : int32_t((c + channels) * plan.product.taps), c == 0);
    if (last) break;
    std::swap(cursor, next);
  }
}

void multiply_task(const Plan& plan, const Task& task, const float* bias, int64_t lanes) {
  const Tiling& t = plan.tiling;
  if (task.channels <= 0) return;
  Workspace& ws = workspace();
  const int64_t row_length = plan.product.src.channels / plan.product.groups * plan.product.taps;
  const int32_t* table = fill_table(plan, ws.table.take<int32_t>(row_length));
  const int64_t channel_floats = task.rows * t.row_floats;
  float* tile = ws.tile.take<float>(task.channels * channel_floats);
  for_channel_blocks(plan, task, ws, [&](float* panel, int64_t* cursor, int64_t* next, const int64_t* row_end,
                                         int32_t limit, bool first) {
    for_register_tiles(t, task.rows, lanes, [&](int64_t from, int64_t to, int32_t rows, int32_t vectors) {
      MultiplyArgs a{plan.weights.values, plan.weights.indices, table, cursor, next, row_end,
                     bias ? bias + task.first_channel : nullptr, panel + from, tile + to, task.channels,
                     t.panel_cols * t.lanes_per_col, t.row_floats, channel_floats, limit, first, rows, vectors};
      plan.level.multiply(&a);
    });
  });
  const Product& p = plan.product;
  unpack(tile,
         {task.first_image, task.first_channel, task.channels,
          plan.phase.row_phase + task.first_row * p.target_step_rows, plan.phase.col_phase, task.rows, plan.phase.cols,
          p.target_step_rows, p.target_step_cols, t.lanes_per_col, t.row_floats, channel_floats},
         plan.level, p.dst, ws.map);
}

void gradient_task(const Plan& plan, const Task& task, float* grad_values, int64_t lanes) {
  const Tiling& t = plan.tiling;
  if (task.channels <= 0) return;
  Workspace& ws = workspace();
  const int64_t row_length = plan.product.src.channels / plan.product.groups * plan.product.taps;
  const int32_t* table = fill_table(plan, ws.table.take<int32_t>(row_length));
  const int64_t channel_floats = task.rows * t.row_floats;
  float* tile = ws.tile.take<float>(task.channels * channel_floats);
  // Zeros fill the lanes past the last column and image, so they add nothing to any weight.
  static const int64_t only_plane = 0;
  pack(plan.product.dst,
       {task.first_image, task.first_channel, task.channels, task.first_row, 0, task.rows,
        t.row_floats / t.lanes_per_col, 1, 1, t.lanes_per_col, channel_floats, channel_floats, &only_plane},
       plan.level, tile, ws.map);
  for_channel_blocks(plan, task, ws, [&](float* panel, int64_t* cursor, int64_t* next, const int64_t* row_end,
                                         int32_t limit, bool) {
    for_register_tiles(t, task.rows, lanes, [&](int64_t from, int64_t to, int32_t rows, int32_t vectors) {
      DotArgs a{tile + to, plan.weights.indices, table, cursor, next, row_end, panel + from, grad_values, task.channels,
                t.panel_cols * t.lanes_per_col, t.row_floats, channel_floats, limit, rows, vectors};
      plan.level.dot(&a);
    });
  });
}

// Runs body(task) for every task. An exception (memory may run out) waits until all threads are back: a thread pool need
// not pass it on.
template <typename Body>
void run(const Parallel& parallel, int64_t tasks, const Body& body) {
  struct Shared {
    const Body& body;
    std::mutex lock;
    std::exception_ptr error;
  } shared{body, {}, nullptr};
  if (tasks <= 0) return;
  parallel.run(tasks, &shared, [](void* context, int64_t begin, int64_t end) {
    Shared& s = *static_cast<Shared*>(context);
    try {
      for (int64_t i = begin; i < end; ++i) s.body(i);
    } catch (...) {
      const std::lock_guard<std::mutex> guard(s.lock);
      if (!s.error) s.error = std::current_exception();
    }
  });
  if (shared.error) std::rethrow_exception(shared.error);
}

}  // namespace

void multiply(const Product& p, const Weights& w, const float* bias, const Level& level, Layout layout,
              const Parallel& parallel) {
  TileLimits limits;
  level.limits(&limits);
  if (p.dst.images == 0 || p.dst.channels == 0) return;
  for (const Phase& phase : p.phases) {
    if (phase.rows <= 0 || phase.cols <= 0) continue;
    const Plan plan = make_plan(p, phase, w, level, limits.multiply, layout, parallel.threads, 0);
    run(parallel, plan.tasks(), [&](int64_t i) {
      const int64_t chunk = i % plan.chunks, group = i / plan.chunks % p.groups, tile = i / plan.chunks / p.groups;
      multiply_task(plan, task_at(plan, tile, group, chunk), bias, limits.lanes);
    });
  }
}

void weight_gradient(const Product& p, const Weights& w, float* grad_values, const Level& level, Layout layout,
                     const Parallel& parallel) {
  TileLimits limits;
  level.limits(&limits);
  const int64_t live = w.row_ptr[p.dst.channels];
  std::fill(grad_values, grad_values + live, 0.0f);
  if (live == 0 || p.src.images == 0 || p.dst.rows <= 0 || p.dst.cols <= 0) return;
  // Tiles are summed in a fixed number of shares, whatever the number of threads, so that the result does not depend on it.
  constexpr int64_t most_shares = 8;
  const Plan first = make_plan(p, p.phases[0], w, level, limits.dot, layout, 1, 0);
  const int64_t shares = std::clamp<int64_t>(first.tiles(), 1, most_shares);
  const Plan plan = make_plan(p, p.phases[0], w, level, limits.dot, layout, parallel.threads, shares * p.groups);
  std::vector<float> partial(size_t(live * (shares - 1)), 0.0f);
  const int64_t per_share = up(plan.tiles(), shares);
  run(parallel, shares * p.groups * plan.chunks, [&](int64_t i) {
    const int64_t chunk = i % plan.chunks, group = i / plan.chunks % p.groups, share = i / plan.chunks / p.groups;
    float* into = share ? partial.data() + (share - 1) * live : grad_values;
    for (int64_t tile = share * per_share; tile < std::min(plan.tiles(), (share + 1) * per_share); ++tile)
      gradient_task(plan, task_at(plan, tile, group, chunk), into, limits.lanes);
  });
  for (int64_t share = 0; share + 1 < shares; ++share)
    for (int64_t k = 0; k < live; ++k) grad_values[k] += partial[size_t(share * live + k)];
}

}  // namespace tamis
