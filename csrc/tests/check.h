#pragma once
#include <cstdint>
#include <cstdio>

// The smallest test framework: CHECK counts failures and prints the first ones, main returns failures().
namespace tamis_test {

inline int& failures() {
  static int n = 0;
  return n;
}

#define CHECK(condition, ...)                                            \
  do {                                                                   \
    if (!(condition) && ++tamis_test::failures() <= 20) {                \
      std::printf("%s:%d: %s  ", __FILE__, __LINE__, #condition);        \
      std::printf(__VA_ARGS__);                                          \
      std::printf("\n");                                                 \
    }                                                                    \
  } while (0)

// The same numbers on every machine (a 64-bit linear congruential generator, Knuth's constants).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) { below(2); }
  std::int64_t below(std::int64_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return std::int64_t((state_ >> 33) % std::uint64_t(n));
  }
  std::int64_t between(std::int64_t low, std::int64_t high) { return low + below(high - low + 1); }
  float value() { return float(below(20001) - 10000) / 10000.0f; }

 private:
  std::uint64_t state_;
};

}  // namespace tamis_test
