#pragma once
#include <cstddef>

namespace tamis {

// Memory aligned to cache lines, in huge pages where it is large and the system offers them on request; null if memory
// runs out. `size` becomes the bytes that really belong to it, at least `bytes`.
void* allocate_pages(std::size_t bytes, std::size_t* size);
void free_pages(void* data);

// Addresses for `bytes`, a multiple of page_bytes, that cost memory only where they are touched, in huge pages where the
// system offers them on request; null where addresses run out. Without such a system, memory.
void* reserve_pages(std::size_t bytes);
void release_pages(void* data, std::size_t bytes);
// Takes the memory from whole pages but leaves their addresses; their content is lost. False where that cannot be done.
bool decommit_pages(void* data, std::size_t bytes);

// Pages of memory that is decommitted: a multiple of the system's.
constexpr std::size_t page_bytes = std::size_t(64) << 10;

}  // namespace tamis
