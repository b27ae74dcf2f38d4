#include "memory_pool.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "pages.h"

namespace tamis {
namespace {

struct Block {
  void* data;
  std::size_t size;
};

struct Shelf {
  std::mutex lock;
  std::unordered_map<void*, std::size_t> in_use;
  std::vector<Block> kept;  // oldest first
  std::size_t bytes_in_use = 0, bytes_kept = 0, most_in_use = 0;

  // Returns the oldest kept memory to the system until all of it together is no more than was ever in use at once.
  void trim(std::size_t soon_in_use) {
    const std::size_t most = std::max(most_in_use, soon_in_use);
    while (!kept.empty() && soon_in_use + bytes_kept > most) drop(0);
  }

  void drop(std::size_t i) {
    bytes_kept -= kept[i].size;
    free_pages(kept[i].data);
    kept.erase(kept.begin() + std::ptrdiff_t(i));
  }
};

// Never destroyed: tensors may outlive every static object.
Shelf& shelf() {
  static Shelf& s = *new Shelf;
  return s;
}

}  // namespace

void* MemoryPool::take(std::size_t bytes) {
  Shelf& s = shelf();
  const std::lock_guard<std::mutex> guard(s.lock);
  // The smallest kept block that fits without wasting more than a quarter; of equal ones the latest, which may be cached.
  std::size_t best = s.kept.size();
  for (std::size_t i = s.kept.size(); i-- > 0;)
    if (s.kept[i].size >= bytes && s.kept[i].size / 5 * 4 <= bytes &&
        (best == s.kept.size() || s.kept[i].size < s.kept[best].size))
      best = i;
  Block block{};
  if (best < s.kept.size()) {
    block = s.kept[best];
    s.bytes_kept -= block.size;
    s.kept.erase(s.kept.begin() + std::ptrdiff_t(best));
  } else {
    s.trim(s.bytes_in_use + bytes);
    block.data = allocate_pages(bytes, &block.size);
    if (!block.data) return nullptr;
  }
  try {
    s.in_use.emplace(block.data, block.size);
  } catch (...) {
    free_pages(block.data);
    return nullptr;
  }
  s.bytes_in_use += block.size;
  s.trim(s.bytes_in_use);
  s.most_in_use = std::max(s.most_in_use, s.bytes_in_use);
  return block.data;
}

void MemoryPool::give(void* data) {
  Shelf& s = shelf();
  const std::lock_guard<std::mutex> guard(s.lock);
  const auto found = s.in_use.find(data);
  if (found == s.in_use.end()) return;
  const Block block{data, found->second};
  s.in_use.erase(found);
  s.bytes_in_use -= block.size;
  try {
    s.kept.push_back(block);
  } catch (...) {
    free_pages(data);
    return;
  }
  s.bytes_kept += block.size;
  s.trim(s.bytes_in_use);
}

void MemoryPool::release() {
  Shelf& s = shelf();
  const std::lock_guard<std::mutex> guard(s.lock);
  while (!s.kept.empty()) s.drop(s.kept.size() - 1);
  s.most_in_use = s.bytes_in_use;
}

MemoryPool::State MemoryPool::state() {
  Shelf& s = shelf();
  const std::lock_guard<std::mutex> guard(s.lock);
  return {int64_t(s.bytes_in_use), int64_t(s.bytes_kept)};
}

}  // namespace tamis
