#include "plan.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace tamis {
namespace {

int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t next_plan_number() {
  static std::atomic<int64_t> number{0};
  return number++;
}

}  // namespace

double live_per_pair(const Product& p, const Weights& w) {
  int64_t live = 0;
  for (const Phase& phase : p.phases)
    live += w.row_ptr[phase.first_weight_row + p.dst.channels] - w.row_ptr[phase.first_weight_row];
  const double pairs = double(p.dst.channels) * double(p.src.channels) / double(p.groups);
  return pairs > 0 ? double(live) / pairs : 0;
}

Plan make_plan(const Product& p, const Weights& w, const Level& level, Tiling tiling, int64_t parts_wanted,
               int64_t parts_there) {
  TileLimits limits;
  level.limits(&limits);
  Plan plan{p, w, level, std::move(tiling), limits.lanes, 1, 0, {}, next_plan_number()};
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

Part part_of(const Task& task, const Phase& phase) {
  return {std::min(task.rows, phase.rows - task.first_row), std::min(task.cols, phase.cols - task.first_col)};
}

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

void fill_table(const Plan& plan, int32_t* table) {
  const Tiling& t = plan.tiling;
  const int64_t channels = plan.source_channels(), taps = plan.product.taps;
  int32_t* next = table;
  for (int64_t phase = 0; phase < plan.phases(); ++phase)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t tap = 0; tap < taps; ++tap)
        *next++ = int32_t(c % plan.panel_channels() * t.channel_floats + t.tap_offset[size_t(phase * taps + tap)]);
}

}  // namespace tamis
