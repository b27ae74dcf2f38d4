#pragma once
#include <vector>

#include "norm.h"

namespace tamis {

// How a batch norm walks its tensor. Sums are taken over pieces whose borders depend on the shape alone and are added in
// order in float64, so the number of threads changes nothing.
//
// Narrow: a channel is a list of pieces of about 16 KB. Wide (channels innermost, tiny pictures): a row holds all positions
// of all channels, a piece is some rows, and shares of rows are the tasks.
class NormPieces {
 public:
  explicit NormPieces(const Planes& planes);

  bool wide() const { return wide_; }
  int64_t positions() const { return wide_ ? planes_.channels * planes_.inner : planes_.channels; }
  // Values summed into one position.
  int64_t values() const { return wide_ ? planes_.outer : planes_.per_channel(); }
  int64_t pieces() const { return pieces_; }  // of a channel, or of all rows
  int64_t shares() const { return shares_; }  // wide: tasks; each has the pieces [first_piece(s), first_piece(s + 1))
  int64_t first_piece(int64_t share) const { return share * pieces_ / shares_; }

  // Where a piece lies: fills runs, run_step and length; returns the offset of its first float.
  int64_t place(int64_t channel, int64_t piece, NormArgs* args) const;

 private:
  Planes planes_;
  bool wide_;
  int64_t pieces_, runs_per_piece_, pieces_per_run_, shares_;
};

}  // namespace tamis
