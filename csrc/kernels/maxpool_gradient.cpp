// The gradient of a max pool, gathered: each input adds up what the outputs that chose it send. See kernels/maxpool.h.
#include "bytes.h"
#include "maxpool.h"

namespace {

template <class Kind>
TAMIS_INLINE void gather(const MaxPoolGradientArgs* a, Kind kind, int64_t from, float* out, int64_t n) {
  vec sum = {};
  for (int32_t t = 0; t < a->taps; ++t) {
    const int64_t at = from + a->offset[t];
    const numbers chosen = take_numbers(kind, a->index + at, n) == int32_t(a->number[t]) - (numbers){};
    sum += chosen ? take(kind, a->grad + at, n) : (vec){};
  }
  put(kind, out, sum, n);
}

}  // namespace

extern "C" void TAMIS_KERNEL(maxpool_gradient)(const MaxPoolGradientArgs* args) {
  const MaxPoolGradientArgs copy = *args, *const a = &copy;  // what is stored cannot change a copy
  for (int64_t p = 0; p < a->places; ++p) {
    const int64_t from = p * a->grad_step;
    float* const out = a->out + p * a->out_step;
    int64_t i = 0;
    for (; i + LANES <= a->length; i += LANES) gather(a, Whole{}, from + i, out + i, LANES);
    if (i < a->length) gather(a, Part{}, from + i, out + i, a->length - i);
  }
}
