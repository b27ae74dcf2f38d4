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

#if defined(__linux__)

void* reserve_pages(std::size_t bytes) {
  // mmap aligns to small pages only, so ask for more and give the ends back.
  if (bytes > SIZE_MAX - huge_page) return nullptr;
  void* all = mmap(nullptr, bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  const auto start = reinterpret_cast<std::uintptr_t>(all), first = (start + huge_page - 1) / huge_page * huge_page;
  auto* data = reinterpret_cast<void*>(first);
  if (first > start) munmap(all, first - start);
  if (first < start + huge_page) munmap(static_cast<char*>(data) + bytes, start + huge_page - first);
  madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

void release_pages(void* data, std::size_t bytes) { munmap(data, bytes); }

bool decommit_pages(void* data, std::size_t bytes) { return madvise(data, bytes, MADV_DONTNEED) == 0; }

#else

void* reserve_pages(std::size_t bytes) { return std::aligned_alloc(page_bytes, bytes); }

void release_pages(void* data, std::size_t) { std::free(data); }

bool decommit_pages(void*, std::size_t) { return false; }

#endif

}  // namespace tamis
