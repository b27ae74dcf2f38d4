#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#define TAMIS_DECLARE(isa)                            \
  extern "C" void tamis_multiply_##isa(const MultiplyArgs*); \
  extern "C" void tamis_vector_##isa(const VectorArgs*);     \
  extern "C" void tamis_dot_##isa(const DotArgs*);           \
  extern "C" void tamis_transpose_##isa(const TransposeArgs*); \
  extern "C" void tamis_lanes_##isa(const LanesArgs*);         \
  extern "C" void tamis_pictures_##isa(const PicturesArgs*);   \
  extern "C" void tamis_limits_##isa(TileLimits*);           \
  extern "C" void tamis_norm_##isa(const NormArgs*);         \
  extern "C" void tamis_maxpool_##isa(const MaxPoolArgs*);   \
  extern "C" void tamis_maxpool_gradient_##isa(const MaxPoolGradientArgs*); \
  extern "C" void tamis_logistic_##isa(LogisticArgs*);       \
  extern "C" void tamis_gram_##isa(const GramArgs*);
#define TAMIS_ROW(isa, supported)                                                                           \
  {#isa, supported, tamis_multiply_##isa, tamis_vector_##isa, tamis_dot_##isa, tamis_transpose_##isa, tamis_lanes_##isa, \
   tamis_pictures_##isa, tamis_limits_##isa, tamis_norm_##isa, tamis_maxpool_##isa, tamis_maxpool_gradient_##isa, tamis_logistic_##isa, tamis_gram_##isa}

TAMIS_DECLARE(baseline)
#if defined(__x86_64__)
TAMIS_DECLARE(avx2)
TAMIS_DECLARE(avx512)
#endif

namespace tamis {
namespace {

bool always() { return true; }
#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq");
}
#endif

// On aarch64 the baseline row is NEON, which every such CPU has.
const Level table[] = {
#if defined(__x86_64__)
    TAMIS_ROW(avx512, has_avx512),
    TAMIS_ROW(avx2, has_avx2),
#endif
    TAMIS_ROW(baseline, always),
};
constexpr int rows = sizeof table / sizeof *table;

const Level* best() {
  const char* wanted = std::getenv("TAMIS_ISA");
  for (const Level& l : table)
    if (wanted && !std::strcmp(l.name, wanted) && l.supported()) return &l;
  for (const Level& l : table)
    if (l.supported()) return &l;
  return &table[rows - 1];
}

std::atomic<const Level*> chosen{nullptr};

}  // namespace

int level_count() { return rows; }
const Level& level_at(int i) { return table[i]; }

const Level& level() {
  const Level* l = chosen.load(std::memory_order_acquire);
  if (!l) chosen.store(l = best(), std::memory_order_release);
  return *l;
}

bool set_level(const char* name) {
  for (const Level& l : table)
    if (!std::strcmp(l.name, name) && l.supported()) {
      chosen.store(&l, std::memory_order_release);
      return true;
    }
  return false;
}

}  // namespace tamis
