#pragma once
#include <stdint.h>

#include <cstddef>

namespace tamis {

// A growing buffer that a thread keeps between calls: aligned to cache lines, in huge pages where the system offers them
// on request, never cleared. Throws std::bad_alloc when memory runs out.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  // At least `count` elements; the content is undefined.
  template <typename T>
  T* take(int64_t count) {
    return static_cast<T*>(reserve(static_cast<std::size_t>(count) * sizeof(T)));
  }

 private:
  void* reserve(std::size_t bytes);
  void grow(std::size_t bytes);
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tamis
