#pragma once
#include <cstddef>
#include <map>

namespace tamis {

// Memory in which blocks of many sizes come and go: what neighbouring dead blocks leave is one space again, so that the
// small results of a forward pass make room for the large gradients of the backward pass, and no step touches a fresh page.
//
// Segments of addresses are cut into blocks, lowest address first. A free block is `touched` (it has memory, kept for
// the next one) or not (never used, or its memory was given back). Taking searches the free blocks, a few dozen in a training
// step, from the lowest on, for one with memory first. A block's entry moves between the lists, so giving back and releasing take no memory themselves and
// cannot fail. Not thread-safe.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();  // blocks in use die with it

  // At least `bytes`, aligned to pages, content undefined; null if memory runs out.
  void* take(std::size_t bytes);
  // Gives back what take returned; false, with nothing done, for anything else.
  bool give(void* data);
  // Takes memory from free blocks, highest address first, until in use and kept together are at most `most`; where the
  // system cannot do that, nothing happens. May throw std::bad_alloc; then it took less.
  void shrink_to(std::size_t most);
  // Gives segments without a block in use back to the system, and the memory of all free blocks.
  void release();

  std::size_t bytes_in_use() const { return in_use_; }
  std::size_t bytes_kept() const { return kept_; }
  std::size_t free_blocks() const { return free_.size(); }

 private:
  struct Block {
    std::size_t size;
    bool touched;
  };
  using Blocks = std::map<char*, Block>;

  bool add_segment(std::size_t bytes);
  Blocks::iterator find(std::size_t bytes);
  void* carve(Blocks::iterator first, std::size_t bytes);
  bool joins(Blocks::iterator block, Blocks::iterator next) const;
  void join(Blocks::iterator block);
  bool starts_segment(char* data) const { return segments_.count(data) != 0; }

  std::map<char*, std::size_t> segments_;
  Blocks free_, used_;
  std::size_t in_use_ = 0, kept_ = 0, reserved_ = 0;
};

}  // namespace tamis
