// What the kernels of this ISA can hold in registers.
#include "simd.h"

extern "C" void TAMIS_KERNEL(limits)(TileLimits* out) {
  out->lanes = LANES;
  out->multiply = TAMIS_MAX_MULTIPLY;
  out->dot = TAMIS_MAX_DOT;
}
