#include "pages.h"

#include <cstdint>
#include <cstdlib>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace tamis {
namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t huge_page = std::size_t(2) << 20;

}  // namespace

void* allocate_pages(std::size_t bytes, std::size_t* size) {
  const std::size_t alignment = bytes >= huge_page ? huge_page : cache_line;
  if (bytes > SIZE_MAX - alignment) return nullptr;
  *size = (bytes + alignment - 1) / alignment * alignment;
  if (!*size) *size = alignment;
  void* data = std::aligned_alloc(alignment, *size);
#if defined(__linux__)
  if (data && alignment == huge_page) madvise(data, *size, MADV_HUGEPAGE);  // advice: failing changes nothing but speed
#endif
  return data;
}

void free_pages(void* data) { std::free(data); }

}  // namespace tamis
