#include "memory_pool.h"

#include <algorithm>
#include <mutex>
#include <new>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include "arena.h"

namespace tamis {
namespace {

struct Shelf {
  std::mutex lock;
  Arena arena;
  std::size_t most_in_use = 0;
};

Shelf& shelf();

// After fork() the child has the forking thread alone. Were the lock another one's at that moment, nobody would ever open it.
Shelf* new_shelf() {
#if defined(__unix__) || defined(__APPLE__)
  const auto open = [] { shelf().lock.unlock(); };
  pthread_atfork([] { shelf().lock.lock(); }, open, open);
#endif
  return new Shelf;
}

// Never destroyed: tensors may outlive every static object.
Shelf& shelf() {
  static Shelf& s = *new_shelf();
  return s;
}

}  // namespace

void* MemoryPool::take(std::size_t bytes) {
  Shelf& s = shelf();
  const std::lock_guard<std::mutex> guard(s.lock);
  void* data = s.arena.take(bytes);
  s.most_in_use = std::max(s.most_in_use, s.arena.bytes_in_use());
  try {
    s.arena.shrink_to(most_held(s.most_in_use));
  } catch (const std::bad_alloc&) {  // of its lists; then it keeps more
  }
  return data;
}

void MemoryPool::give(void* data) {
  Shelf& s = shelf();
  const std::lock_guard<std::mutex> guard(s.lock);
  s.arena.give(data);
}

void MemoryPool::release() {
  Shelf& s = shelf();
  const std::lock_guard<std::mutex> guard(s.lock);
  s.arena.release();
  s.most_in_use = s.arena.bytes_in_use();
}

MemoryPool::State MemoryPool::state() {
  Shelf& s = shelf();
  const std::lock_guard<std::mutex> guard(s.lock);
  return {int64_t(s.arena.bytes_in_use()), int64_t(s.arena.bytes_kept())};
}

}  // namespace tamis
