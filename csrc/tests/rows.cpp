#include "rows.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" void tamis_multiply_wide(const MultiplyArgs*);
extern "C" void tamis_vector_wide(const VectorArgs*);
extern "C" void tamis_dot_wide(const DotArgs*);
extern "C" void tamis_transpose_wide(const TransposeArgs*);
extern "C" void tamis_lanes_wide(const LanesArgs*);
extern "C" void tamis_pictures_wide(const PicturesArgs*);
extern "C" void tamis_limits_wide(TileLimits*);
extern "C" void tamis_norm_wide(const NormArgs*);
extern "C" void tamis_maxpool_wide(const MaxPoolArgs*);
extern "C" void tamis_maxpool_gradient_wide(const MaxPoolGradientArgs*);
extern "C" void tamis_logistic_wide(LogisticArgs*);
extern "C" void tamis_gram_wide(const GramArgs*);

namespace tamis_test {
namespace {

bool always() { return true; }
const tamis::Level wide = {"wide",
                           always,
                           tamis_multiply_wide,
                           tamis_vector_wide,
                           tamis_dot_wide,
                           tamis_transpose_wide,
                           tamis_lanes_wide,
                           tamis_pictures_wide,
                           tamis_limits_wide,
                           tamis_norm_wide,
                           tamis_maxpool_wide,
                           tamis_maxpool_gradient_wide,
                           tamis_logistic_wide,
                           tamis_gram_wide};

}  // namespace

const tamis::Level* row(const char* name) {
  if (!std::strcmp(name, wide.name)) return &wide;
  for (int i = 0; i < tamis::level_count(); ++i)
    if (!std::strcmp(name, tamis::level_at(i).name)) return &tamis::level_at(i);
  return nullptr;
}

const tamis::Level& row_of_command_line(int argc, char** argv) {
  const tamis::Level* level = argc == 2 ? row(argv[1]) : nullptr;
  if (!level) {
    std::printf("usage: %s ISA\n", argv[0]);
    std::exit(2);
  }
  if (!level->supported()) {
    std::printf("skipped: this CPU has no %s\n", level->name);
    std::exit(77);
  }
  return *level;
}

}  // namespace tamis_test
