#pragma once
#include <stdint.h>

#include <cstddef>

namespace tamis {

// Memory for large results, kept when a result is gone and handed out again. A fresh page costs more time than the
// arithmetic that fills it (the system clears it and maps it), and a training step asks for the same sizes again and again.
// The pool holds little more than was in use at once (where the system takes pages back, see pages.h), and uses huge pages where
// the system offers them on request. All functions may be called from any thread, and in a child of fork().
class MemoryPool {
 public:
  // What it may hold when at most so many bytes were in use at once. Blocks of many sizes leave holes between them; without
  // an allowance for these small networks would give pages back and touch fresh ones at every step.
  static constexpr std::size_t most_held(std::size_t most_in_use) { return most_in_use + (std::size_t(16) << 20); }
  // At least `bytes`, aligned to pages, content undefined; null if memory runs out.
  static void* take(std::size_t bytes);
  // Gives back what take returned.
  static void give(void* data);
  // Returns all unused memory to the system.
  static void release();
  struct State {
    int64_t bytes_in_use, bytes_kept;
  };
  static State state();
};

}  // namespace tamis
