// The arena behind large results: blocks never overlap, neighbours become one space again, what is kept is counted, and lists
// that cannot grow leave it whole. The pool around it: threads and children of fork().
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "arena.h"
#include "check.h"
#include "memory_pool.h"
#include "pages.h"

namespace {

// How many allocations succeed before the one that fails; negative for all.
thread_local int allocations_left = -1;

}  // namespace

void* operator new(std::size_t size) {
  if (allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc();
  if (void* data = std::malloc(size)) return data;
  throw std::bad_alloc();
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }

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

void memory_that_is_there_comes_first() {
  Arena arena;
  void* low = arena.take(4 * page_bytes);
  arena.take(page_bytes);
  void* high = arena.take(4 * page_bytes);
  arena.take(page_bytes);
  arena.give(low);
  arena.shrink_to(6 * page_bytes);
  arena.give(high);
  CHECK(arena.bytes_kept() == 4 * page_bytes, "one of two has memory");
  CHECK(arena.take(3 * page_bytes) == high, "the one with memory");
  CHECK(arena.take(2 * page_bytes) == low, "then the lowest");
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

void neighbours_become_one_in_every_order() {
  int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  for (const auto& order : orders) {
    Arena arena;
    void *front = arena.take(1), *blocks[3], *back;
    for (void*& block : blocks) block = arena.take(2 * page_bytes);
    back = arena.take(1);
    for (int i : order) arena.give(blocks[i]);
    CHECK(arena.free_blocks() == 2, "these, and what was never used");
    CHECK(arena.take(6 * page_bytes) == blocks[0], "order %d %d %d", order[0], order[1], order[2]);
    CHECK(arena.bytes_kept() == 0 && arena.bytes_in_use() == 8 * page_bytes, "counted once");
    CHECK(arena.give(front) && arena.give(back), "neighbours are whole");
  }
}

// Many times the size of a segment passes through, and the arena does not grow.
void addresses_serve_again() {
  Arena arena;
  const size_t large = size_t(200) << 20;
  char* lowest = nullptr;
  for (int i = 0; i < 100; ++i) {
    char* data = static_cast<char*>(arena.take(large + size_t(i) * page_bytes));
    if (!lowest) lowest = data;
    CHECK(data == lowest, "round %d", i);
    arena.give(data);
    arena.shrink_to(large);
  }
}

// Each allocation of the lists fails once, and the arena is as before: nothing lost, nothing counted twice.
void lists_that_cannot_grow_leave_it_whole() {
  for (int fails = 0; fails < 12; ++fails) {
    Arena arena;
    allocations_left = fails;
    void* blocks[4];
    for (void*& block : blocks) block = arena.take(3 * page_bytes);
    size_t taken = 0;
    for (void* block : blocks) taken += block ? 3 * page_bytes : 0;
    CHECK(arena.bytes_in_use() == taken && arena.bytes_kept() == 0, "allocation %d fails: in use", fails);
    arena.give(blocks[1]);
    try {
      arena.shrink_to(arena.bytes_in_use() + page_bytes);  // cuts a block
    } catch (const std::bad_alloc&) {
    }
    const size_t kept = arena.bytes_kept();
    CHECK(kept == 0 || kept == page_bytes || kept == 3 * page_bytes, "allocation %d fails: kept", fails);
    for (void* block : {blocks[0], blocks[2], blocks[3]}) CHECK(!block || arena.give(block), "allocation %d fails", fails);
    allocations_left = -1;
    void* all = arena.take((size_t(256) << 20) - page_bytes);
    CHECK(all && arena.bytes_kept() <= page_bytes, "allocation %d fails: one space", fails);
    CHECK(!blocks[0] || all == blocks[0], "allocation %d fails: addresses were lost", fails);
    arena.give(all);
    arena.release();
    CHECK(arena.bytes_in_use() == 0 && arena.bytes_kept() == 0, "allocation %d fails: all gone", fails);
  }
}

// Gives back and releases without a single allocation: what a destructor calls must not fail.
void giving_back_takes_no_memory() {
  Arena arena;
  std::vector<void*> blocks;
  for (int i = 0; i < 9; ++i) blocks.push_back(arena.take(size_t(1 + i) * page_bytes));
  allocations_left = 0;
  for (int i : {1, 3, 5, 7, 0, 4, 8, 2}) CHECK(arena.give(blocks[size_t(i)]), "block %d", i);
  arena.release();
  CHECK(arena.bytes_kept() == 0 && arena.bytes_in_use() == 7 * page_bytes, "one is in use");
  CHECK(arena.give(blocks[6]), "the last one");
  arena.release();
  allocations_left = -1;
  CHECK(arena.bytes_kept() == 0 && arena.bytes_in_use() == 0, "all gone");
}

bool take_and_give(int rounds) {
  for (int i = 0; i < rounds; ++i) {
    char* data = static_cast<char*>(tamis::MemoryPool::take(size_t(1 + i % 7) * page_bytes));
    if (!data) return false;
    data[0] = data[page_bytes - 1] = char(i);
    if (data[0] != char(i)) return false;
    tamis::MemoryPool::give(data);
  }
  return true;
}

int64_t held() {
  const auto state = tamis::MemoryPool::state();
  return state.bytes_in_use + state.bytes_kept;
}

void the_pool_holds_little_more_than_was_in_use() {
  constexpr size_t megabyte = size_t(1) << 20;
  tamis::MemoryPool::release();
  const int64_t most = int64_t(tamis::MemoryPool::most_held(202 * megabyte));
  for (size_t megabytes : {50, 90, 30, 140, 80, 20, 140}) {
    void* first = tamis::MemoryPool::take(60 * megabyte);
    void* data = tamis::MemoryPool::take(megabytes * megabyte);
    tamis::MemoryPool::give(first);
    void* last = tamis::MemoryPool::take(62 * megabyte);  // the hole is too small
    CHECK(held() <= most, "%d MB: %d MB held", int(megabytes), int(held() / int64_t(megabyte)));
    tamis::MemoryPool::give(data);
    tamis::MemoryPool::give(last);
  }
  tamis::MemoryPool::release();
}

// As a network does: a result lives until the next one is there, and sizes differ. A fresh page is full of zeros.
void a_step_touches_no_page_that_the_last_one_did_not() {
  constexpr size_t pages[] = {100, 256, 110, 256, 64, 120};  // 110 do not fit where 100 were
  tamis::MemoryPool::release();
  for (int step = 0; step < 4; ++step) {
    void* last = nullptr;
    for (size_t n : pages) {
      char* next = static_cast<char*>(tamis::MemoryPool::take(n * page_bytes));
      size_t fresh = 0;
      for (size_t page = 0; page < n; ++page) fresh += next[page * page_bytes] == 0;
      CHECK(step < 2 || fresh == 0, "step %d: %d of %d pages are fresh", step, int(fresh), int(n));
      std::memset(next, 1, n * page_bytes);
      if (last) tamis::MemoryPool::give(last);
      last = next;
    }
    tamis::MemoryPool::give(last);
  }
  tamis::MemoryPool::release();
}

// Blocks go from the thread that takes them to another one that gives them back.
void threads_share_the_pool() {
  constexpr int crew_size = 3, rounds = 400;
  std::vector<void*> given[crew_size];
  std::vector<std::thread> crew;
  for (int t = 0; t < crew_size; ++t)
    crew.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        char* data = static_cast<char*>(tamis::MemoryPool::take(page_bytes));
        data[0] = char(t);
        given[t].push_back(data);
        if (i % 100 == 0) tamis::MemoryPool::release();
      }
    });
  for (std::thread& thread : crew) thread.join();
  crew.clear();
  for (int t = 0; t < crew_size; ++t)
    crew.emplace_back([&, t] {
      for (void* data : given[(t + 1) % crew_size]) tamis::MemoryPool::give(data);
      take_and_give(rounds);
    });
  for (std::thread& thread : crew) thread.join();
  CHECK(tamis::MemoryPool::state().bytes_in_use == 0, "all came back");
}

// While another thread takes and gives, a child must find the pool open.
void a_child_of_fork_can_use_the_pool() {
#if defined(__linux__)
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) take_and_give(100);
  });
  for (int i = 0; i < 200; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);  // ends the child if it waits for ever
      _exit(take_and_give(10) ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0, "child %d ended with %d", i, status);
    if (status != 0) break;
  }
  stop = true;
  busy.join();
#endif
}

}  // namespace

int main() {
  neighbours_become_one();
  foreign_pointers_are_refused();
  impossible_sizes_are_refused();
  memory_goes_back();
  memory_that_is_there_comes_first();
  blocks_never_overlap();
  neighbours_become_one_in_every_order();
  addresses_serve_again();
  lists_that_cannot_grow_leave_it_whole();
  giving_back_takes_no_memory();
#if defined(__linux__)
  the_pool_holds_little_more_than_was_in_use();
  a_step_touches_no_page_that_the_last_one_did_not();
#endif
  threads_share_the_pool();
  a_child_of_fork_can_use_the_pool();
  return tamis_test::failures() != 0;
}
