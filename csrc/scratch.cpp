#include "scratch.h"

#include <new>

#include "pages.h"
#if defined(TAMIS_POISON_SCRATCH)
#include <cstring>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace tamis {
namespace {

// In sanitizer builds stale floats read as NaN, stale integers as -1, and what lies past the demand cannot be read.
void poison(void* data, std::size_t used, std::size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(data, size);
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(data) + used, size - used);
#endif
#if defined(TAMIS_POISON_SCRATCH)
  if (used) std::memset(data, 0xff, used);
#endif
  (void)data, (void)used, (void)size;
}

}  // namespace

Scratch::~Scratch() { free_pages(data_); }

void* Scratch::reserve(std::size_t bytes) {
  if (bytes > size_) grow(bytes);
  poison(data_, bytes, size_);
  return data_;
}

void Scratch::grow(std::size_t bytes) {
  // Grow by half, so that a slowly rising demand does not allocate each time.
  std::size_t want = size_ + size_ / 2;
  if (want < bytes) want = bytes;
  void* fresh = allocate_pages(want, &want);
  if (!fresh) throw std::bad_alloc();
  free_pages(data_);
  data_ = fresh;
  size_ = want;
}

}  // namespace tamis
