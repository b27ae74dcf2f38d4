// The largest of some taps and which one it was. See kernels/maxpool.h for the contract.
#include "maxpool.h"

#include "bytes.h"

namespace {

template <class Kind>
TAMIS_INLINE void pool(const MaxPoolArgs* a, Kind kind, const float* src, float* out, uint8_t* index, int64_t n) {
  vec best = take(kind, src + a->offset[0], n);
  numbers which = int32_t(a->number[0]) - (numbers){};
  for (int32_t t = 1; t < a->taps; ++t) {
    const vec v = take(kind, src + a->offset[t], n);
    const numbers better = (v > best) | (v != v);
    best = better ? v : best;
    which = better ? int32_t(a->number[t]) - (numbers){} : which;
  }
  put(kind, out, best, n);
  put_numbers(kind, index, which, n);
}

}  // namespace

extern "C" void TAMIS_KERNEL(maxpool)(const MaxPoolArgs* args) {
  const MaxPoolArgs copy = *args, *const a = &copy;  // what is stored cannot change a copy
  for (int64_t p = 0; p < a->places; ++p) {
    const float* const src = a->src + p * a->src_step;
    float* const out = a->out + p * a->out_step;
    uint8_t* const index = a->index + p * a->out_step;
    int64_t i = 0;
    for (; i + LANES <= a->length; i += LANES) pool(a, Whole{}, src + i, out + i, index + i, LANES);
    if (i < a->length) pool(a, Part{}, src + i, out + i, index + i, a->length - i);
  }
}
