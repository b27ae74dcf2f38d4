// The passes of batch norm with residual and activation over one piece of a channel. See kernels/norm.h for the contract.
#include "norm.h"

#include "part.h"

namespace {

constexpr int CHAINS = 4;  // independent sums, so that an addition need not wait for the one before

// A constant of the channel (one number) or of each position (wide).
template <bool WIDE>
struct Constant {
  const float* p;
  vec same;
  TAMIS_ALWAYS explicit Constant(const float* from) : p(from), same(WIDE || !from ? (vec){} : broadcast(*from)) {}
  template <class Kind>
  TAMIS_ALWAYS vec at(Kind kind, int64_t i, int64_t n) const {
    return WIDE ? take(kind, p + i, n) : same;
  }
};

// The one expression from which both the result and, later, the activation's mask come.
TAMIS_INLINE vec normalised(vec centred, vec scale, vec shift) { return centred * scale + shift; }

// Written with <= so that NaN passes, as in torch.
template <int ACTIVATION>
TAMIS_INLINE vec activate(vec v) {
  if (ACTIVATION != ACTIVATION_NONE) v = v <= (vec){} ? (vec){} : v;
  if (ACTIVATION == ACTIVATION_RELU6) v = v >= broadcast(6) ? broadcast(6) : v;
  return v;
}
template <int ACTIVATION>
TAMIS_INLINE vec let_through(vec g, vec v) {
  if (ACTIVATION != ACTIVATION_NONE) g = v <= (vec){} ? (vec){} : g;
  if (ACTIVATION == ACTIVATION_RELU6) g = v >= broadcast(6) ? (vec){} : g;
  return g;
}

typedef int32_t lane_numbers __attribute__((vector_size(LANES * 4)));

template <class Kind>
TAMIS_INLINE vec only_present(Kind, vec v, int64_t n) {
  if (Kind::whole) return v;
  lane_numbers number;
  for (int i = 0; i < LANES; ++i) number[i] = i;
  return number < int32_t(n) - (lane_numbers){} ? v : (vec){};
}

TAMIS_INLINE double sum_of(vec v) {
  double part[4] = {};
  for (int i = 0; i < LANES; ++i) part[i % 4] += v[i];
  return (part[0] + part[1]) + (part[2] + part[3]);
}

template <class Body>
TAMIS_INLINE void along(int64_t length, Body body) {
  int64_t i = 0;
  for (; i + LANES <= length; i += LANES) body(Whole{}, i, LANES);
  if (i < length) body(Part{}, i, length - i);
}

// Adds up what body(kind, r, i, n, sums) adds to sums: over the whole piece (narrow) or over each position's rows (wide).
// `finish(i, n, sums)` receives SUMS vectors; in the narrow shape once, with i = 0 and n = LANES.
template <bool WIDE, int SUMS, class Body, class Finish>
TAMIS_INLINE void reduce(const NormArgs* a, Body body, Finish finish) {
  if (WIDE) {
    int64_t i = 0;
    for (; i + CHAINS * LANES <= a->length; i += CHAINS * LANES) {
      vec sums[CHAINS][SUMS] = {};
      for (int64_t r = 0; r < a->runs; ++r)
#pragma GCC unroll 4
        for (int k = 0; k < CHAINS; ++k) body(Whole{}, r, i + k * LANES, LANES, sums[k]);
#pragma GCC unroll 4
      for (int k = 0; k < CHAINS; ++k) finish(i + k * LANES, LANES, sums[k]);
    }
    for (; i < a->length; i += LANES) {
      const int64_t n = a->length - i < LANES ? a->length - i : LANES;
      vec sums[SUMS] = {};
      for (int64_t r = 0; r < a->runs; ++r)
        if (n == LANES)
          body(Whole{}, r, i, n, sums);
        else
          body(Part{}, r, i, n, sums);
      finish(i, n, sums);
    }
    return;
  }
  vec sums[CHAINS][SUMS] = {};
  for (int64_t r = 0; r < a->runs; ++r) {
    int64_t i = 0;
    for (; i + CHAINS * LANES <= a->length; i += CHAINS * LANES)
#pragma GCC unroll 4
      for (int k = 0; k < CHAINS; ++k) body(Whole{}, r, i + k * LANES, LANES, sums[k]);
    for (; i + LANES <= a->length; i += LANES) body(Whole{}, r, i, LANES, sums[0]);
    if (i < a->length) body(Part{}, r, i, a->length - i, sums[1]);
  }
  for (int s = 0; s < SUMS; ++s) sums[0][s] = (sums[0][s] + sums[1][s]) + (sums[2][s] + sums[3][s]);
  finish(0, LANES, sums[0]);
}

template <bool WIDE>
TAMIS_INLINE void put_sums(const NormArgs* a, int which, int64_t i, int64_t n, vec v) {
  double* const to = a->sums + which * a->sums_step;
  if (WIDE)
    for (int64_t k = 0; k < n; ++k) to[i + k] = v[k];
  else
    *to = sum_of(v);
}

// Two passes over a piece that the first one leaves in the nearest cache: squares of distances to a nearby value cancel
// nothing, whatever the mean.
template <bool WIDE>
TAMIS_INLINE void moments(const NormArgs* a) {
  const float count = float(WIDE ? a->runs : a->runs * a->length);
  reduce<WIDE, 1>(
      a,
      [&](auto kind, int64_t r, int64_t i, int64_t n, vec* sums) TAMIS_ALWAYS {
        sums[0] += take(kind, a->y + r * a->run_step + i, n);
      },
      [&](int64_t i, int64_t n, vec* sums) TAMIS_ALWAYS {
        const vec near = WIDE ? sums[0] / count : broadcast(float(sum_of(sums[0])) / count);
        for (int64_t k = 0; k < (WIDE ? n : 1); ++k) a->out[i + k] = near[k] - near[k] == 0 ? near[k] : 0;
      });
  const Constant<WIDE> near(a->out);
  reduce<WIDE, 2>(
      a,
      [&](auto kind, int64_t r, int64_t i, int64_t n, vec* sums) TAMIS_ALWAYS {
        const vec d = only_present(kind, take(kind, a->y + r * a->run_step + i, n) - near.at(kind, i, n), n);
        sums[0] += d;
        sums[1] += d * d;
      },
      [&](int64_t i, int64_t n, vec* sums) TAMIS_ALWAYS {
        put_sums<WIDE>(a, 0, i, n, sums[0]);
        put_sums<WIDE>(a, 1, i, n, sums[1]);
      });
}

template <bool WIDE, int ACTIVATION, bool RESIDUAL, bool BYPASS>
TAMIS_INLINE void apply(const NormArgs* a) {
  const Constant<WIDE> center(a->center), scale(a->scale), shift(a->shift);
  for (int64_t r = 0; r < a->runs; ++r) {
    const int64_t at = r * a->run_step;
    along(a->length, [&](auto kind, int64_t i, int64_t n) TAMIS_ALWAYS {
      vec v = normalised(take(kind, a->y + at + i, n) - center.at(kind, i, n), scale.at(kind, i, n), shift.at(kind, i, n));
      if (RESIDUAL) v += take(kind, a->other + at + i, n);
      put_result<BYPASS>(kind, a->out + at + i, activate<ACTIVATION>(v), n);
    });
  }
}

template <bool WIDE, int ACTIVATION, int MASK, bool WRITE>
TAMIS_INLINE void sums_of_gradient(const NormArgs* a) {
  const Constant<WIDE> center(a->center), scale(a->scale), shift(a->shift);
  reduce<WIDE, 2>(
      a,
      [&](auto kind, int64_t r, int64_t i, int64_t n, vec* sums) TAMIS_ALWAYS {
        const int64_t at = r * a->run_step + i;
        const vec centred = take(kind, a->y + at, n) - center.at(kind, i, n);
        vec g = take(kind, a->grad + at, n);
        if (MASK == MASK_FROM_Y)
          g = let_through<ACTIVATION>(g, normalised(centred, scale.at(kind, i, n), shift.at(kind, i, n)));
        if (MASK == MASK_FROM_Z) g = let_through<ACTIVATION>(g, take(kind, a->other + at, n));
        if (WRITE) put(kind, a->out + at, g, n);
        sums[0] += g;
        sums[1] += g * centred;
      },
      [&](int64_t i, int64_t n, vec* sums) TAMIS_ALWAYS {
        put_sums<WIDE>(a, 0, i, n, sums[0]);
        put_sums<WIDE>(a, 1, i, n, sums[1]);
      });
}

template <bool WIDE, int ACTIVATION, int MASK, bool BYPASS>
TAMIS_INLINE void gradient(const NormArgs* a) {
  const Constant<WIDE> center(a->center), scale(a->scale), shift(a->shift), slope(a->slope), level(a->level);
  for (int64_t r = 0; r < a->runs; ++r) {
    const int64_t at = r * a->run_step;
    along(a->length, [&](auto kind, int64_t i, int64_t n) TAMIS_ALWAYS {
      const vec centred = take(kind, a->y + at + i, n) - center.at(kind, i, n), factor = scale.at(kind, i, n);
      vec g = take(kind, a->grad + at + i, n);
      if (MASK == MASK_FROM_Y) g = let_through<ACTIVATION>(g, normalised(centred, factor, shift.at(kind, i, n)));
      put_result<BYPASS>(kind, a->out + at + i, factor * g + (slope.at(kind, i, n) * centred + level.at(kind, i, n)), n);
    });
  }
}

template <bool WIDE, int ACTIVATION, bool WRITE>
TAMIS_INLINE void mask_of(const NormArgs* a) {
  if (a->mask == MASK_FROM_Y) return sums_of_gradient<WIDE, ACTIVATION, MASK_FROM_Y, WRITE>(a);
  if (a->mask == MASK_FROM_Z) return sums_of_gradient<WIDE, ACTIVATION, MASK_FROM_Z, WRITE>(a);
  sums_of_gradient<WIDE, ACTIVATION, MASK_NONE, WRITE>(a);
}

template <bool WIDE, int ACTIVATION>
TAMIS_INLINE void step_of(const NormArgs* a) {
  switch (a->step) {
    case NORM_APPLY:
      if (!WIDE && a->bypass)
        return a->other ? apply<WIDE, ACTIVATION, true, true>(a) : apply<WIDE, ACTIVATION, false, true>(a);
      return a->other ? apply<WIDE, ACTIVATION, true, false>(a) : apply<WIDE, ACTIVATION, false, false>(a);
    case NORM_SUMS:
      return a->out ? mask_of<WIDE, ACTIVATION, true>(a) : mask_of<WIDE, ACTIVATION, false>(a);
    case NORM_GRADIENT:
      if (!WIDE && a->bypass)
        return a->mask == MASK_FROM_Y ? gradient<WIDE, ACTIVATION, MASK_FROM_Y, true>(a)
                                      : gradient<WIDE, ACTIVATION, MASK_NONE, true>(a);
      if (a->mask == MASK_FROM_Y) return gradient<WIDE, ACTIVATION, MASK_FROM_Y, false>(a);
      return gradient<WIDE, ACTIVATION, MASK_NONE, false>(a);
    default:
      return moments<WIDE>(a);
  }
}

template <bool WIDE>
TAMIS_INLINE void activation_of(const NormArgs* a) {
  if (a->activation == ACTIVATION_RELU) return step_of<WIDE, ACTIVATION_RELU>(a);
  if (a->activation == ACTIVATION_RELU6) return step_of<WIDE, ACTIVATION_RELU6>(a);
  step_of<WIDE, ACTIVATION_NONE>(a);
}

}  // namespace

extern "C" void TAMIS_KERNEL(norm)(const NormArgs* args) {
  const NormArgs copy = *args;  // what is stored through its pointers cannot change a copy
  const NormArgs* const a = &copy;
  if (a->wide) return activation_of<true>(a);
  activation_of<false>(a);
}
