#include "arena.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <new>
#include <utility>

#include "pages.h"

namespace tamis {
namespace {

// Addresses are free, and blocks merge only inside a segment, so segments are large and few.
constexpr std::size_t least_segment = std::size_t(256) << 20;

}  // namespace

Arena::~Arena() {
  for (const auto& [data, size] : segments_) release_pages(data, size);
}

void* Arena::take(std::size_t bytes) {
  if (bytes > SIZE_MAX - page_bytes) return nullptr;
  bytes = std::max<std::size_t>(1, (bytes + page_bytes - 1) / page_bytes) * page_bytes;
  try {
    Blocks::iterator first = find(bytes);
    if (first == free_.end()) {
      if (!add_segment(bytes)) return nullptr;
      first = find(bytes);
    }
    return carve(first, bytes);
  } catch (const std::bad_alloc&) {  // of the lists, which are as they were
    return nullptr;
  }
}

bool Arena::give(void* data) {
  const auto found = used_.find(static_cast<char*>(data));
  if (found == used_.end()) return false;
  in_use_ -= found->second.size;
  kept_ += found->second.size;
  join(free_.insert(used_.extract(found)).position);
  return true;
}

void Arena::shrink_to(std::size_t most) {
  while (in_use_ + kept_ > most) {
    auto last = free_.end();
    while (last != free_.begin() && !std::prev(last)->second.touched) --last;
    if (last == free_.begin()) return;
    auto block = std::prev(last);
    // Not more than must be: the front of the block stays.
    const std::size_t over = (in_use_ + kept_ - most + page_bytes - 1) / page_bytes * page_bytes;
    if (over < block->second.size) {
      const std::size_t stays = block->second.size - over;
      const auto behind = free_.emplace(block->first + stays, Block{over, true}).first;
      block->second.size = stays;
      block = behind;
    }
    if (decommit_pages(block->first, block->second.size)) {
      block->second.touched = false;
      kept_ -= block->second.size;
      join(block);
    } else {
      return join(block);
    }
  }
}

void Arena::release() {
  shrink_to(in_use_);  // whole blocks, so no entry is made
  for (auto segment = segments_.begin(); segment != segments_.end();) {
    const auto [data, size] = *segment;
    std::size_t unused = 0;
    const auto first = free_.lower_bound(data), last = free_.lower_bound(data + size);
    for (auto it = first; it != last; ++it) unused += it->second.size;
    if (unused < size) {
      ++segment;
      continue;
    }
    for (auto it = first; it != last; ++it) kept_ -= it->second.touched ? it->second.size : 0;
    free_.erase(first, last);
    release_pages(data, size);
    reserved_ -= size;
    segment = segments_.erase(segment);
  }
}

// A segment that is as large as all before it, or, where addresses are scarce, as large as the block.
bool Arena::add_segment(std::size_t bytes) {
  std::map<char*, std::size_t> segments{{nullptr, 0}};  // the entries come first: later nothing may fail
  Blocks blocks{{nullptr, Block{}}};
  std::size_t size = std::max({bytes, least_segment, reserved_});
  void* data = reserve_pages(size);
  if (!data) data = reserve_pages(size = bytes);
  if (!data) {
    release();
    data = reserve_pages(size);
  }
  if (!data) return false;
  auto segment = segments.extract(segments.begin());
  auto block = blocks.extract(blocks.begin());
  segment.key() = block.key() = static_cast<char*>(data);
  segment.mapped() = size;
  block.mapped() = {size, false};
  segments_.insert(std::move(segment));
  free_.insert(std::move(block));
  reserved_ += size;
  return true;
}

// The lowest touched block that is large enough (touched neighbours are one block), else the first of the lowest free blocks
// that follow each other without a gap and have so many bytes together.
Arena::Blocks::iterator Arena::find(std::size_t bytes) {
  auto first = free_.begin(), lowest = free_.end();
  std::size_t length = 0;
  char* end = nullptr;
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->second.touched && it->second.size >= bytes) return it;
    if (it->first != end || starts_segment(it->first)) first = it, length = 0;
    length += it->second.size;
    end = it->first + it->second.size;
    if (length >= bytes && lowest == free_.end()) lowest = first;
  }
  return lowest;
}

void* Arena::carve(Blocks::iterator first, std::size_t bytes) {
  char* const end = first->first + bytes;
  auto last = first;
  while (last->first + last->second.size < end) ++last;
  if (const std::size_t rest = size_t(last->first + last->second.size - end); rest > 0) {
    free_.emplace(end, Block{rest, last->second.touched});
    last->second.size -= rest;
  }
  for (auto it = first; it != std::next(last); ++it) kept_ -= it->second.touched ? it->second.size : 0;
  in_use_ += bytes;
  free_.erase(std::next(first), std::next(last));
  auto entry = free_.extract(first);
  entry.mapped() = {bytes, true};
  return used_.insert(std::move(entry)).position->first;
}

// Whether `next` begins where `block` ends, in the same segment, and is of its kind.
bool Arena::joins(Blocks::iterator block, Blocks::iterator next) const {
  return block->first + block->second.size == next->first && block->second.touched == next->second.touched &&
         !starts_segment(next->first);
}

// Makes a free block and its neighbours one, where they can be.
void Arena::join(Blocks::iterator block) {
  if (const auto next = std::next(block); next != free_.end() && joins(block, next)) {
    block->second.size += next->second.size;
    free_.erase(next);
  }
  if (block == free_.begin()) return;
  if (const auto before = std::prev(block); joins(before, block)) {
    before->second.size += block->second.size;
    free_.erase(block);
  }
}

}  // namespace tamis
