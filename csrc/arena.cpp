#include "arena.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <new>

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
  } catch (const std::bad_alloc&) {  // of the lists
    return nullptr;
  }
}

bool Arena::give(void* data) {
  const auto found = used_.find(data);
  if (found == used_.end()) return false;
  const std::size_t size = found->second;
  // The entry of a free block takes no more memory than that of the used one did; without any, the block stays unused
  // and the process has other worries.
  used_.erase(found);
  in_use_ -= size;
  try {
    insert(static_cast<char*>(data), {size, true});
    kept_ += size;
  } catch (const std::bad_alloc&) {
    decommit_pages(data, size);
  }
  return true;
}

void Arena::shrink_to(std::size_t most) {
  while (in_use_ + kept_ > most) {
    auto last = free_.end();
    while (last != free_.begin() && !std::prev(last)->second.touched) --last;
    if (last == free_.begin()) return;
    const auto it = std::prev(last);
    // Not more than must be: the front of the block stays.
    const std::size_t over = (in_use_ + kept_ - most + page_bytes - 1) / page_bytes * page_bytes;
    const std::size_t gone = std::min(it->second.size, over);
    char* from = it->first + (it->second.size - gone);
    if (!decommit_pages(from, gone)) return;
    kept_ -= gone;
    it->second.size -= gone;
    if (it->second.size == 0) free_.erase(it);
    insert(from, {gone, false});
  }
}

void Arena::release() {
  shrink_to(in_use_);
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
  std::size_t size = std::max({bytes, least_segment, reserved_});
  void* data = reserve_pages(size);
  if (!data) data = reserve_pages(size = bytes);
  if (!data) {
    release();
    data = reserve_pages(size);
  }
  if (!data) return false;
  segments_.emplace(static_cast<char*>(data), size);
  free_.emplace(static_cast<char*>(data), Free{size, false});
  reserved_ += size;
  return true;
}

// The first of the lowest free blocks that follow each other without a gap and have so many bytes together.
Arena::Blocks::iterator Arena::find(std::size_t bytes) {
  auto first = free_.begin();
  std::size_t length = 0;
  char* end = nullptr;
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->first != end || starts_segment(it->first)) first = it, length = 0;
    length += it->second.size;
    end = it->first + it->second.size;
    if (length >= bytes) return first;
  }
  return free_.end();
}

void* Arena::carve(Blocks::iterator first, std::size_t bytes) {
  char* data = first->first;
  used_.emplace(data, bytes);
  in_use_ += bytes;
  for (std::size_t left = bytes; left > 0;) {
    const Free block = first->second;
    const std::size_t part = std::min(left, block.size);
    if (block.touched) kept_ -= part;
    left -= part;
    auto entry = free_.extract(first++);
    if (part == block.size) continue;
    entry.key() += part;  // the rest of the block, in the memory of the same entry
    entry.mapped().size -= part;
    free_.insert(std::move(entry));
  }
  return data;
}

// A new free block, joined with neighbours of its kind.
void Arena::insert(char* data, Free block) {
  const auto next = free_.lower_bound(data);
  const auto alike = [&](Blocks::iterator it) { return it->second.touched == block.touched; };
  const bool joins_next = next != free_.end() && next->first == data + block.size && !starts_segment(next->first) && alike(next);
  const auto before = next == free_.begin() ? free_.end() : std::prev(next);
  const bool joins_before =
      before != free_.end() && before->first + before->second.size == data && !starts_segment(data) && alike(before);
  if (joins_next) block.size += next->second.size;
  if (joins_before) {
    before->second.size += block.size;
  } else if (joins_next) {
    auto entry = free_.extract(next);
    entry.key() = data;
    entry.mapped() = block;
    free_.insert(std::move(entry));
    return;
  } else {
    free_.emplace(data, block);
    return;
  }
  if (joins_next) free_.erase(next);
}

}  // namespace tamis
