#include "scratch.h"

#include <cstdlib>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(TAMIS_POISON_SCRATCH)
#include <cstring>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace tamis {
namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t huge_page = std::size_t(2) << 20;

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

Scratch::~Scratch() { std::free(data_); }

void* Scratch::reserve(std::size_t bytes) {
  if (bytes > size_) grow(bytes);
  poison(data_, bytes, size_);
  return data_;
}

void Scratch::grow(std::size_t bytes) {
  // Grow by half, so that a slowly rising demand does not allocate each time.
  std::size_t want = size_ + size_ / 2;
  if (want < bytes) want = bytes;
  const std::size_t alignment = want >= huge_page ? huge_page : cache_line;
  want = (want + alignment - 1) / alignment * alignment;
  void* fresh = std::aligned_alloc(alignment, want);
  if (!fresh) throw std::bad_alloc();
#if defined(__linux__)
  if (alignment == huge_page) madvise(fresh, want, MADV_HUGEPAGE);  // advice only: failing changes nothing but speed
#endif
  std::free(data_);
  data_ = fresh;
  size_ = want;
}

}  // namespace tamis
