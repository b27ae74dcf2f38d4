// The arena behind large results: blocks never overlap, neighbours become one space again, and what is kept is counted.
#include <cstring>
#include <vector>

#include "arena.h"
#include "check.h"
#include "pages.h"

namespace {

using tamis::Arena;
using tamis::page_bytes;

void neighbours_become_one() {
  Arena arena;
  char* first = static_cast<char*>(arena.take(3 * page_bytes));
  void* second = arena.take(page_bytes);
  void* third = arena.take(2 * page_bytes);
  CHECK(second == first + 3 * page_bytes && third == first + 4 * page_bytes, "lowest addresses first");
  CHECK(arena.bytes_in_use() == 6 * page_bytes && arena.bytes_kept() == 0, "all in use");
  CHECK(arena.give(first) && arena.give(third), "two of three");
  CHECK(arena.bytes_kept() == 5 * page_bytes, "kept");
  void* larger = arena.take(4 * page_bytes);
  CHECK(larger == third, "what follows the gap is not used yet");
  CHECK(arena.give(larger) && arena.give(second), "the gap closes");
  CHECK(arena.take(8 * page_bytes) == first, "one space");
  CHECK(arena.bytes_kept() == 0, "all of it");
}

void foreign_pointers_are_refused() {
  Arena arena;
  char* block = static_cast<char*>(arena.take(1));
  CHECK(arena.bytes_in_use() == page_bytes, "whole pages");
  CHECK(!arena.give(nullptr) && !arena.give(block + 1), "not from here");
  CHECK(arena.give(block) && !arena.give(block), "only once");
}

void impossible_sizes_are_refused() {
  Arena arena;
  CHECK(!arena.take(SIZE_MAX) && !arena.take(SIZE_MAX / 2), "no such memory");
  CHECK(arena.bytes_in_use() == 0 && arena.bytes_kept() == 0, "nothing happened");
  CHECK(arena.take(page_bytes), "and it still works");
}

void memory_goes_back() {
  Arena arena;
  std::vector<void*> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(arena.take(4 * page_bytes));
  std::memset(blocks[7], 1, 4 * page_bytes);
  for (int i = 1; i < 8; i += 2) arena.give(blocks[size_t(i)]);
  arena.shrink_to(27 * page_bytes);
  CHECK(arena.bytes_kept() == 11 * page_bytes, "down to what was asked for");
#if defined(__linux__)
  CHECK(static_cast<char*>(blocks[7])[4 * page_bytes - 1] == 0, "fresh pages read as zeros");
#endif
  arena.shrink_to(0);
  CHECK(arena.bytes_kept() == 0 && arena.bytes_in_use() == 16 * page_bytes, "blocks in use stay");
  CHECK(arena.take(4 * page_bytes) == blocks[1], "the addresses serve again");
  for (int i = 0; i < 8; i += 2) arena.give(blocks[size_t(i)]);
  arena.give(blocks[1]);
  arena.release();
  CHECK(arena.bytes_kept() == 0 && arena.bytes_in_use() == 0, "all gone");
}

// Blocks of a random life, each filled with its number from end to end.
void blocks_never_overlap() {
  struct Block {
    char* data;
    size_t size;
    char fill;
  };
  Arena arena;
  tamis_test::Random random(5);
  std::vector<Block> blocks;
  size_t most = 0, in_use = 0;
  for (int step = 0; step < 4000; ++step) {
    if (blocks.size() < 40 && random.below(5) < 3) {
      const size_t pages = size_t(random.between(1, random.below(8) ? 6 : 60)), size = pages * page_bytes;
      const Block block{static_cast<char*>(arena.take(size - size_t(random.below(page_bytes)))), size, char(step)};
      CHECK(block.data, "step %d", step);
      std::memset(block.data, block.fill, size);
      blocks.push_back(block);
      in_use += size;
    } else if (!blocks.empty()) {
      const size_t which = size_t(random.below(int64_t(blocks.size())));
      const Block block = blocks[which];
      bool whole = true;
      for (size_t i = 0; i < block.size; i += 4096) whole = whole && block.data[i] == block.fill;
      CHECK(whole && block.data[block.size - 1] == block.fill, "step %d: another block wrote here", step);
      CHECK(arena.give(block.data), "step %d", step);
      blocks.erase(blocks.begin() + int64_t(which));
      in_use -= block.size;
    }
    if (in_use > most) most = in_use;
    if (random.below(50) == 0) arena.shrink_to(most * 9 / 10);
    if (random.below(1000) == 0) arena.release();
    CHECK(arena.bytes_in_use() == in_use, "step %d", step);
  }
  for (const Block& block : blocks) arena.give(block.data);
  const size_t kept = arena.bytes_kept();
  CHECK(kept <= 2 * most, "%zu bytes are kept, %zu were in use at most", kept, most);
  CHECK(arena.take(most), "one space for all");
}

}  // namespace

int main() {
  neighbours_become_one();
  foreign_pointers_are_refused();
  impossible_sizes_are_refused();
  memory_goes_back();
  blocks_never_overlap();
  return tamis_test::failures() != 0;
}
