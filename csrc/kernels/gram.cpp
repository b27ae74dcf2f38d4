// The Hessian of logistic regression: a weighted Gram matrix in register tiles over panels of blocks.
#include "doubles.h"
#include "logistic.h"

namespace {

constexpr int TILE = TAMIS_VECTOR_REGISTERS == 32 ? 4 : 2;  // a tile of TILE x TILE sums, and a column and a row of operands
constexpr int64_t PANEL = 16;                               // blocks

// Adds to out[i][j], rows and columns of the matrix that follow the intercept, for `rows` x `cols` of a tile.
template <int rows, int cols>
TAMIS_INLINE void tile(const GramArgs* a, int64_t first, int64_t last, int64_t i, int64_t j) {
  dvec sums[rows][cols] = {};
  for (int64_t block = first; block < last; ++block) {
    const double* const x = a->x + block * a->columns * LOGISTIC_ROWS;
    for (int64_t r = 0; r < LOGISTIC_ROWS; r += WIDTH) {
      const dvec curvature = load(a->curvature + block * LOGISTIC_ROWS + r);
      dvec left[rows];
      for (int n = 0; n < rows; ++n) left[n] = curvature * load(x + (i + n) * LOGISTIC_ROWS + r);
      for (int m = 0; m < cols; ++m) {
        const dvec right = load(x + (j + m) * LOGISTIC_ROWS + r);
        for (int n = 0; n < rows; ++n) sums[n][m] += left[n] * right;
      }
    }
  }
  const int64_t stride = a->columns + 1;
  for (int n = 0; n < rows; ++n)
    for (int m = 0; m < cols; ++m) a->out[(i + n + 1) * stride + j + m + 1] += sum(sums[n][m]);
}

template <int rows>
TAMIS_INLINE void row_of_tiles(const GramArgs* a, int64_t first, int64_t last, int64_t i) {
  int64_t j = 0;
  for (; j + TILE <= i + rows; j += TILE) tile<rows, TILE>(a, first, last, i, j);
  for (; j < i + rows; ++j) tile<rows, 1>(a, first, last, i, j);
}

}  // namespace

extern "C" void TAMIS_KERNEL(gram)(const GramArgs* a) {
  const int64_t columns = a->columns, stride = columns + 1;
  for (int64_t k = 0; k < stride * stride; ++k) a->out[k] = 0;
  for (int64_t k = 0; k < stride * WIDTH; ++k) a->partial[k] = 0;
  for (int64_t first = 0; first < a->blocks; first += PANEL) {
    const int64_t last = first + PANEL < a->blocks ? first + PANEL : a->blocks;
    for (int64_t block = first; block < last; ++block) {
      const double* const x = a->x + block * columns * LOGISTIC_ROWS;
      for (int64_t r = 0; r < LOGISTIC_ROWS; r += WIDTH) {
        const dvec curvature = load(a->curvature + block * LOGISTIC_ROWS + r);
        store(a->partial, load(a->partial) + curvature);
        for (int64_t k = 0; k < columns; ++k) {
          double* const into = a->partial + (k + 1) * WIDTH;
          store(into, load(into) + curvature * load(x + k * LOGISTIC_ROWS + r));
        }
      }
    }
    int64_t i = 0;
    for (; i + TILE <= columns; i += TILE) row_of_tiles<TILE>(a, first, last, i);
    for (; i < columns; ++i) row_of_tiles<1>(a, first, last, i);
  }
  for (int64_t k = 0; k <= columns; ++k) a->out[k * stride] = sum(load(a->partial + k * WIDTH));
  for (int64_t i = 0; i < stride; ++i)
    for (int64_t j = 0; j < i; ++j) a->out[j * stride + i] = a->out[i * stride + j];
}
