// The loop nest of all three products. A weight's row is one destination channel; a product is dst = weights * src.
//
//   for tiles of the destination (image block, rows, columns)        a task of the thread pool; tiling.h says how they are cut
//     for blocks of source channels                                  the block's part of src is packed into a panel (L1 or L2)
//       for phases of a stride                                       one, but for the gradient of a strided input
//         for register tiles (rows x vectors)                        kernels/multiply.cpp, kernels/dot.cpp
//           for destination channels
//             for live weights of the channel in this block          one broadcast, one fused multiply-add a vector
//     the tile of results is unpacked into dst                       or, for the weights' gradient, was packed before
//
// Inside, each multiply-add loads one operand: the bound is the speed of the cache that holds the panel, L1 where a block is
// small, L2 where few live weights make small blocks store and load results too often. Outside, each tensor is read or
// written once, plus the halo that neighbouring tiles share. At 95 % zeros the inner part rules, at 99 % the outer one.
//
// Both gradients read the gradient of the result: as source for the input's, as destination for the weights'. gradients()
// cuts both into the same tiles, keeps all channels of the packed source, and lets the second read its tiles from there.
#include "driver.h"

#include <algorithm>
#include <climits>

#include "linear.h"
#include "plan.h"
#include "pointwise.h"
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
  int64_t plan = -1;  // the number of the plan that table and places belong to
  const int32_t* table = nullptr;
  const float* packed = nullptr;  // the panel of the last task
  std::vector<Place> places;
};
struct Workspaces {
  Workspace first, second;  // the second for the other gradient, where both are computed tile by tile
};
Workspaces& workspaces() {
  static thread_local Workspaces w;
  return w;
}

int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

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
  const int64_t per_group = plan.source_channels(), phases = plan.phases();
  int64_t* cursor = ws.cursor.take<int64_t>(phases * task.channels);
  int64_t* next = ws.next.take<int64_t>(phases * task.channels);
  bool nothing = true;
  for (int64_t i = 0; i < phases; ++i) {
    const int64_t* row_ptr = plan.weights.row_ptr + p.phases[size_t(i)].first_weight_row + task.first_channel;
    std::copy(row_ptr, row_ptr + task.channels, cursor + i * task.channels);
    nothing = nothing && row_ptr[0] == row_ptr[task.channels];
  }
  float* panel = ws.panel.take<float>(plan.panel_channels() * t.channel_floats);
  ws.packed = panel;
  for (int64_t c = 0;; c += t.channel_block) {
    const int64_t channels = std::min(t.channel_block, per_group - c);
    const bool last = nothing || c + t.channel_block >= per_group;
    if (!nothing)
      pack(p.src, source, t.lanes_per_col, t.channel_floats, task.first_image, task.group * per_group + c, channels,
           plan.level, ws.offsets, panel + (t.keeps_source ? c * t.channel_floats : 0));
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
  Workspace& ws = workspaces().first;
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
      float* const out = tile + phase * t.phase_floats + to;
      MultiplyArgs a{plan.weights.values, plan.weights.indices, table, cursor, next, row_end,
                     e.bias ? e.bias + task.first_channel : nullptr, panel + from, out, out, task.channels,
                     (vectors - 1) * plan.lanes, t.panel_row_floats, t.tile_row_floats, channel_floats, limit, start,
                     e.relu && limit == INT_MAX, rows, vectors};
      plan.level.multiply(&a);
    });
  });
  unpack(tile, place.target, t.lanes_per_col, channel_floats, task.first_image, task.first_channel, task.channels, plan.level,
         ws.offsets, plan.product.dst);
}

// Adds to the gradient of the live weights what a tile contributes: `grad` is the packed gradient of the task's channels.
void dot_tile(const Plan& plan, const Task& task, const PixelMap& source, Workspace& ws, const float* grad,
              int64_t channel_step, float* grad_values) {
  const Tiling& t = plan.tiling;
  for_channel_blocks(plan, task, source, ws, [&](int64_t, const Part& part, const float* panel, const int32_t* table,
                                                 int64_t* cursor, int64_t* next, const int64_t* row_end, int32_t limit, bool) {
    for_register_tiles(plan, part, [&](int64_t from, int64_t to, int32_t rows, int32_t vectors) {
      DotArgs a{grad + to, plan.weights.indices, table, cursor, next, row_end, panel + from, grad_values, task.channels,
                t.panel_row_floats, t.tile_row_floats, channel_step, limit, rows, vectors};
      plan.level.dot(&a);
    });
  });
}

void gradient_task(const Plan& plan, const Task& task, float* grad_values) {
  if (task.channels <= 0) return;
  Workspace& ws = workspaces().first;
  const Workspace::Place& place = prepare(plan, task, ws);
  const int64_t channel_floats = plan.tile_channel_floats();
  float* tile = ws.tile.take<float>(task.channels * channel_floats);
  // Zeros fill the lanes past the last column and image, so they add nothing to any weight.
  pack(plan.product.dst, place.target, plan.tiling.lanes_per_col, channel_floats, task.first_image, task.first_channel,
       task.channels, plan.level, ws.offsets, tile);
  dot_tile(plan, task, place.source, ws, tile, channel_floats, grad_values);
}

// Both gradients of a tile: the gradient of the result, packed for the one, serves the other from the same panel.
void gradients_task(const Plan& input, const Plan& weight, const Task& task, float* grad_values) {
  const Tiling& t = input.tiling;
  Task to_input = task;
  to_input.channels = input.product.dst.channels / input.product.groups;
  to_input.first_channel = task.group * to_input.channels;
  multiply_task(input, to_input, {});
  Workspace& ws = workspaces().second;
  const Workspace::Place& place = prepare(weight, task, ws);
  const float* here = workspaces().first.packed - t.row_shift * t.panel_row_floats - t.col_shift * t.lanes_per_col;
  dot_tile(weight, task, place.source, ws, here, t.channel_floats, grad_values);
}

// Tiles are summed in a fixed number of shares, whatever the number of threads, so that the result does not depend on it.
int64_t shares_of(const Tiling& t) {
  constexpr int64_t most_shares = 4;
  return std::clamp<int64_t>(t.image_blocks * t.row_blocks * t.col_blocks, 1, most_shares);
}

// Calls each(task, into) for every task; what the calls of one share add to `into` ends up in grad_values.
template <typename Each>
void sum_shares(const Plan& plan, float* grad_values, const Parallel& parallel, const Each& each) {
  const int64_t live = plan.weights.row_ptr[plan.product.dst.channels], groups = plan.product.groups;
  const int64_t shares = shares_of(plan.tiling), per_share = up(plan.tiles(), shares);
  static thread_local Scratch partial_sums;
  float* partial = partial_sums.take<float>(live * (shares - 1));
  run_pieces(parallel, live * (shares - 1), [&](int64_t k, int64_t end) { std::fill(partial + k, partial + end, 0.0f); });
  run_pieces(parallel, live, [&](int64_t k, int64_t end) { std::fill(grad_values + k, grad_values + end, 0.0f); });
  run_tasks(parallel, shares * groups * plan.chunks, [&](int64_t i) {
    const int64_t chunk = i % plan.chunks, group = i / plan.chunks % groups, share = i / plan.chunks / groups;
    float* into = share ? partial + (share - 1) * live : grad_values;
    for (int64_t tile = share * per_share; tile < std::min(plan.tiles(), (share + 1) * per_share); ++tile)
      each(task_at(plan, tile, group, chunk), into);
  });
  run_pieces(parallel, live, [&](int64_t begin, int64_t end) {
    for (int64_t share = 0; share + 1 < shares; ++share)
      for (int64_t k = begin; k < end; ++k) grad_values[k] += partial[share * live + k];
  });
}

// A gradient of the weights cut into given tiles.
void weight_gradient(const Product& p, const Weights& w, float* grad_values, const Level& level, const Tiling& tiling,
                     const Parallel& parallel) {
  const Plan plan = make_plan(p, w, level, tiling, parallel.threads, shares_of(tiling) * p.groups);
  sum_shares(plan, grad_values, parallel, [&](const Task& task, float* into) { gradient_task(plan, task, into); });
}

// How both gradients are cut so that they can share the packed gradient of the result.
struct SharedTilings {
  bool possible;
  Tiling input, weight;
};

SharedTilings share(const Product& input, const Weights& t, const Product& forward, const Weights& w,
                    const TileLimits& limits, Layout layout) {
  constexpr int64_t most_bytes = int64_t(4) << 20;  // a panel that is much larger than L2 costs more than packing twice
  constexpr double most_weights = 200;  // per result: with more, packing hardly counts, and a tile fits the caches better
  SharedTilings s{false, choose_tiling(input, limits, limits.multiply, live_per_pair(input, t), layout, {true, nullptr}), {}};
  const Tiling& in = s.input;
  const bool worth = live_per_pair(forward, w) * double(forward.src.channels) <= most_weights * double(forward.groups);
  // The edges that a panel has and a tile has not may outweigh one packing.
  const bool slim = 2 * in.channel_floats <= 3 * in.tile_rows * in.tile_cols * in.lanes_per_col + 2 * limits.lanes;
  const bool read = in.plane_of_phase[0] >= 0;  // else no tap reads the result's gradient, and nobody packs it
  if (!worth || !slim || !read || input.src.channels / input.groups * in.channel_floats * 4 > most_bytes) return s;
  const double live = live_per_pair(forward, w);
  s.weight = choose_tiling(forward, limits, limits.dot, live, layout, {false, &in});
  const bool alike = choose_tiling(forward, limits, limits.dot, live, layout).images == in.images;
  // Where vectors run across rows, what lies between and behind the rows of a tile must be zero, so no pixels of another tile,
  // and rows of both panels must have the same length. A piece of one row that nothing but itself reads has no neighbours.
  const bool whole = in.row_blocks == 1 && in.col_blocks == 1 && in.panel_row_floats == s.weight.panel_row_floats;
  const bool pieces = in.panel_rows == 1 && in.panel_cols == in.tile_cols && in.tile_cols % limits.lanes == 0;
  s.possible = alike && (in.images || whole || pieces);
  return s;
}

bool nothing_to_do(const Product& forward, const Weights& w) {
  return w.row_ptr[forward.dst.channels] == 0 || forward.src.images == 0 || forward.dst.rows <= 0 || forward.dst.cols <= 0;
}

}  // namespace

void multiply(const Product& product, const Weights& w, const Epilogue& e, const Level& level, Layout layout,
              const Parallel& parallel) {
  if (product.dst.images == 0 || product.dst.channels == 0 || product.phases.empty()) return;
  TileLimits limits;
  level.limits(&limits);
  const Product p = layout == Layout::automatic ? flatten_pointwise(product) : product;
  if (layout == Layout::automatic && is_one_vector(p)) return multiply_vector(p, w, e, level, parallel);
  Tiling tiling = choose_tiling(p, limits, limits.multiply, live_per_pair(p, w), layout);
  if (!tiling.images && lies_ready(p, limits)) return multiply_where_it_lies(p, w, e, level, limits, parallel);
  const Plan plan = make_plan(p, w, level, std::move(tiling), parallel.threads);
  run_tasks(parallel, plan.tiles() * p.groups * plan.chunks, [&](int64_t i) {
    const int64_t chunk = i % plan.chunks, group = i / plan.chunks % p.groups, tile = i / plan.chunks / p.groups;
    multiply_task(plan, task_at(plan, tile, group, chunk), e);
  });
}

void weight_gradient(const Product& product, const Weights& w, float* grad_values, const Level& level, Layout layout,
                     const Parallel& parallel) {
  if (nothing_to_do(product, w)) return std::fill(grad_values, grad_values + w.row_ptr[product.dst.channels], 0.0f);
  TileLimits limits;
  level.limits(&limits);
  const Product p = layout == Layout::automatic ? flatten_pointwise(product) : product;
  weight_gradient(p, w, grad_values, level, choose_tiling(p, limits, limits.dot, live_per_pair(p, w), layout), parallel);
}

void gradients(const Product& input, const Weights& t, const Product& forward, const Weights& w, float* grad_values,
               const Level& level, Layout layout, const Parallel& parallel) {
  TileLimits limits;
  level.limits(&limits);
  const bool flatten = layout == Layout::automatic;
  const Product in = flatten ? flatten_pointwise(input) : input, out = flatten ? flatten_pointwise(forward) : forward;
  const bool same_form = in.src.images == out.dst.images;  // flattened, several images have become one
  SharedTilings s{};
  if (same_form && !in.phases.empty() && !nothing_to_do(out, w)) s = share(in, t, out, w, limits, layout);
  if (!s.possible) {
    multiply(input, t, {}, level, layout, parallel);
    return weight_gradient(forward, w, grad_values, level, layout, parallel);
  }
  if (shares_of(s.weight) * out.groups < parallel.threads) {  // threads would be idle; the same tiles, one after the other
    multiply(input, t, {}, level, layout, parallel);
    return weight_gradient(out, w, grad_values, level, s.weight, parallel);
  }
  // The tile of the result's gradient is a part of the other's panel.
  s.weight.tile_row_floats = s.input.panel_row_floats;
  s.weight.phase_floats = s.input.plane_floats;
  const Plan to_input = make_plan(in, t, level, s.input, 1), to_weight = make_plan(out, w, level, s.weight, 1);
  sum_shares(to_weight, grad_values, parallel,
             [&](const Task& task, float* into) { gradients_task(to_input, to_weight, task, into); });
}

}  // namespace tamis
