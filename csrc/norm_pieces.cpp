#include "norm_pieces.h"

#include <algorithm>

namespace tamis {
namespace {

constexpr int64_t piece_floats = 4096;  // two passes over it stay in the nearest cache
constexpr int64_t most_shares = 32;

}  // namespace

NormPieces::NormPieces(const Planes& planes) : planes_(planes), wide_(planes.inner < 16) {
  runs_per_piece_ = pieces_per_run_ = shares_ = 1;
  if (wide_) {
    runs_per_piece_ = 32;
    pieces_ = (planes.outer + runs_per_piece_ - 1) / runs_per_piece_;
    shares_ = std::max<int64_t>(1, std::min(most_shares, pieces_));
  } else if (planes.inner > piece_floats) {
    pieces_per_run_ = (planes.inner + piece_floats - 1) / piece_floats;
    pieces_ = planes.outer * pieces_per_run_;
  } else {
    runs_per_piece_ = std::max<int64_t>(1, piece_floats / planes.inner);
    pieces_ = (planes.outer + runs_per_piece_ - 1) / runs_per_piece_;
  }
}

int64_t NormPieces::place(int64_t channel, int64_t piece, NormArgs* args) const {
  const int64_t row = planes_.channels * planes_.inner;
  const int64_t run = piece / pieces_per_run_ * runs_per_piece_, start = piece % pieces_per_run_ * piece_floats;
  args->runs = std::min(runs_per_piece_, planes_.outer - run);
  args->run_step = row;
  args->wide = wide_;
  if (wide_) {
    args->length = row;
    return run * row;
  }
  args->length = pieces_per_run_ > 1 ? std::min(piece_floats, planes_.inner - start) : planes_.inner;
  return run * row + channel * planes_.inner + start;
}

}  // namespace tamis
