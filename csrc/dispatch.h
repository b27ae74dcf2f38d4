#pragma once
#include "kernels/logistic.h"
#include "kernels/maxpool.h"
#include "kernels/norm.h"
#include "kernels/tile.h"

namespace tamis {

// One row per instruction set that this build contains, best first.
struct Level {
  const char* name;
  bool (*supported)();
  multiply_fn multiply;
  vector_fn vector;
  dot_fn dot;
  transpose_fn transpose;
  lanes_fn lanes;
  pictures_fn pictures;
  void (*limits)(TileLimits*);
  norm_fn norm;
  maxpool_fn maxpool;
  maxpool_gradient_fn maxpool_gradient;
  logistic_fn logistic;
  gram_fn gram;
};

int level_count();
const Level& level_at(int i);

// The level in use: the best that this CPU supports, or the one named by TAMIS_ISA or set_level.
const Level& level();

// False, with nothing changed, if the name is unknown or the CPU lacks the instructions.
bool set_level(const char* name);

}  // namespace tamis
