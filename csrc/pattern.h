#pragma once
#include "problem.h"

namespace tamis {

// Whether row_ptr[0..rows] never falls and leads from 0 to nnz.
bool rows_rise(const int64_t* row_ptr, int64_t rows, int64_t nnz);

// Whether every index lies in [0, limit), limit at most 2^31.
bool all_below(const int32_t* indices, int64_t count, int64_t limit);

// The same weights ordered for the gradient of the input (see Phase::first_weight_row): row phase * channels + channel
// lists, ascending, `output inside the group * taps + tap`; `source` says where each weight lies in the packed values.
// Fills row_ptr [phases * channels + 1], indices [nnz] and source [nnz].
void transpose_weights(const Geometry& g, const Weights& w, int64_t rows, int64_t channels, int64_t* row_ptr,
                       int32_t* indices, int32_t* source);

}  // namespace tamis
