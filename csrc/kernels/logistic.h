#pragma once
#include <stdint.h>

// Rows per block: column c of block b lies at x[(b * columns + c) * LOGISTIC_ROWS].
#define LOGISTIC_ROWS 32
// Doubles that every partial sum of a kernel may need: the widest vector.
#define LOGISTIC_LANES 8

// One pass over the rows of a source at logits z = coefficients[0] + sum over c of coefficients[c + 1] * x_c.
typedef struct {
  const double* x;             // blocks of LOGISTIC_ROWS rows, column-major inside; rows of padding are zero
  const double* weight;        // one per row, 0 for padding; null: the value is sum(signed * sigmoid(z))
  const double* target;        // one per row, 0 for padding; with weight the value is sum(weight * log(1 + e^z) - target * z),
                               // without it is `signed` above
  const double* coefficients;  // columns + 1
  int64_t blocks, columns;
  double clip;        // logits outside [-clip, clip] are moved to its ends, with derivative 0
  double* logits;     // receives z of every row before it is clipped, or null
  double* curvature;  // receives weight * sigmoid * (1 - sigmoid) of every row, or null
  double* partial;    // scratch, (columns + 1) * LOGISTIC_LANES
  double* gradient;   // columns + 1
  double value;
} LogisticArgs;

typedef void (*logistic_fn)(LogisticArgs*);

// out = sum over rows of curvature * (1, x)(1, x)', a full symmetric matrix of (columns + 1) squared.
typedef struct {
  const double* x;
  const double* curvature;
  int64_t blocks, columns;
  double* partial;  // scratch, (columns + 1) * LOGISTIC_LANES
  double* out;
} GramArgs;

typedef void (*gram_fn)(const GramArgs*);
