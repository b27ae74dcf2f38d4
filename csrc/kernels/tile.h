#pragma once
#include <stdint.h>

// Plain contracts of the kernels. Each is compiled once per row of the ISA table in CMakeLists.txt; none allocates,
// throws or checks. A tile is `rows` rows of `vectors` SIMD vectors held in registers; LANES is the number of floats in
// one vector, so a tile row covers vectors * LANES consecutive floats of the panel.

// Largest rows * vectors that the kernels of an ISA accept (16 or 32 vector registers).
struct TileLimits {
  int32_t lanes;
  int32_t multiply;  // accumulators of the product
  int32_t dot;       // vectors of the output gradient held while its weights pass by
};

// out[r][i][:] = start + sum over live weights k of row r with indices[k] < limit of
//                values[k] * panel[table[indices[k]] + i * panel_row_step + :]
// Products of one output are added in ascending k, whatever the tile. The last vector of a tile of one row begins `last`
// floats after the first: (vectors - 1) * LANES, or less where the row is no multiple of LANES long; then it overlaps the
// vector before, and nothing outside the row is read or written.
enum MultiplyStart { START_FROM_OUT = 0, START_FROM_BIAS = 1, START_FROM_OUT_AND_BIAS = 2 };
struct MultiplyArgs {
  const float* values;
  const int32_t* indices;
  const int32_t* table;     // flat index inside a weight row -> offset in the panel, in floats
  const int64_t* cursor;    // [channels] first weight of each output channel not yet used
  int64_t* next_cursor;     // [channels] written: the first weight with index >= limit
  const int64_t* row_end;   // [channels] end of each output channel's weights
  const float* bias;        // [channels] or null for 0
  const float* panel;
  const float* before;      // what the sums of a later call start from, laid out like out; out itself for START_FROM_OUT
  float* out;
  int64_t channels;
  int64_t last;             // used where rows is 1
  int64_t panel_row_step;   // floats between neighbouring tile rows in the panel
  int64_t out_row_step;     // floats between neighbouring tile rows in out
  int64_t out_channel_step; // floats between neighbouring output channels in out
  int32_t limit;
  int32_t start;            // a MultiplyStart
  int32_t relu;             // 1: negative results become 0 (NaN stays)
  int32_t rows, vectors;    // shape of the tile
};

// out[r] = before[r] + bias[r] + sum over the weights k of row r of values[k] * x[indices[k]], in ascending k.
struct VectorArgs {
  const float* values;
  const int32_t* indices;
  const int64_t* row_ptr;  // [rows + 1]
  const float* bias;       // [rows] or null for 0
  const float* x;
  const float* before;     // [rows] or null for 0
  float* out;              // [rows]
  int64_t rows;
  int32_t relu;            // as in MultiplyArgs
};

// grad_values[k] += sum over the tile of grad[r][i][:] * panel[table[indices[k]] + i * panel_row_step + :]
// for every live weight k of row r with indices[k] < limit.
struct DotArgs {
  const float* grad;        // [channels] tiles laid out like `out` above
  const int32_t* indices;
  const int32_t* table;
  const int64_t* cursor;
  int64_t* next_cursor;
  const int64_t* row_end;
  const float* panel;
  float* grad_values;
  int64_t channels;
  int64_t panel_row_step;
  int64_t grad_row_step;
  int64_t grad_channel_step;
  int32_t limit;
  int32_t rows, vectors;
};

// dst[dst_offset[j] + i] = src[src_offset[i] + j] for i < rows, and 0 for rows <= i < padded_rows, for every j < cols whose
// dst_offset is not negative.
struct TransposeArgs {
  const float* src;
  float* dst;
  const int64_t* src_offset;  // [rows]
  const int64_t* dst_offset;  // [cols]
  int64_t rows, cols;
  int64_t padded_rows;        // at least rows
  int64_t readable;           // floats that may be read from the start of every row, at least cols
  int64_t ahead;              // floats from src to what the next call will read, fetched into the cache meanwhile; or 0
  int64_t strip;              // columns that are turned for all rows before the next columns are, a multiple of LANES
  int32_t bypass;             // 1: results go past the caches, for large results that are not read soon; other threads
                              // see them only after a store fence, which is left to the caller
};

// dst[c * dst_channel_step + r * dst_row_step + i] = src[c * src_channel_step + r * src_row_step + i * src_col_step]
// for c < channels, r < rows and i < cols; src_col_step is 1 or 2.
struct PicturesArgs {
  const float* src;
  float* dst;
  int64_t src_channel_step, dst_channel_step;
  int64_t src_row_step, dst_row_step, src_col_step;
  int64_t channels, rows, cols;
  int64_t ahead;              // as in TransposeArgs
};

// dst[dst_offset[p] + i] = src[src_offset[p] + i] for i < count, and 0 for count <= i < padded, for every p < places whose
// dst_offset is not negative.
struct LanesArgs {
  const float* src;
  float* dst;
  const int64_t* src_offset;  // [places]
  const int64_t* dst_offset;  // [places]
  int64_t places, count, padded;
  int64_t ahead;              // as in TransposeArgs
  int32_t bypass;
};

typedef void (*multiply_fn)(const MultiplyArgs*);
typedef void (*vector_fn)(const VectorArgs*);
typedef void (*dot_fn)(const DotArgs*);
typedef void (*transpose_fn)(const TransposeArgs*);
typedef void (*lanes_fn)(const LanesArgs*);
typedef void (*pictures_fn)(const PicturesArgs*);
