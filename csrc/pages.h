#pragma once
#include <cstddef>

namespace tamis {

// Memory aligned to cache lines, in huge pages where it is large and the system offers them on request; null if memory
// runs out. `size` becomes the bytes that really belong to it, at least `bytes`.
void* allocate_pages(std::size_t bytes, std::size_t* size);
void free_pages(void* data);

}  // namespace tamis
