#pragma once
#include <stdint.h>

#include <algorithm>
#include <exception>
#include <mutex>

namespace tamis {

// How a driver runs its tasks: calls body(context, begin, end) for disjoint ranges that cover [0, tasks).
struct Parallel {
  int64_t threads;
  void (*run)(int64_t tasks, void* context, void (*body)(void* context, int64_t begin, int64_t end));
};

// Runs body(task) for every task. An exception (memory may run out) waits until all threads are back: a thread pool need
// not bring one home.
template <typename Body>
void run_tasks(const Parallel& parallel, int64_t tasks, const Body& body) {
  struct Shared {
    const Body& body;
    std::mutex mutex;
    std::exception_ptr error;
  } shared{body, {}, nullptr};
  if (tasks <= 0) return;
  parallel.run(tasks, &shared, [](void* context, int64_t begin, int64_t end) {
    auto& s = *static_cast<Shared*>(context);
    try {
      for (int64_t task = begin; task < end; ++task) s.body(task);
    } catch (...) {
      std::lock_guard<std::mutex> lock(s.mutex);
      if (!s.error) s.error = std::current_exception();
    }
  });
  if (shared.error) std::rethrow_exception(shared.error);
}

// Runs body(begin, end) for pieces that cover [0, count): long loops over plain arrays, which are no task of their own.
template <typename Body>
void run_pieces(const Parallel& parallel, int64_t count, const Body& body) {
  constexpr int64_t piece = 16 * 1024;  // smaller ones cost more to hand out than they take
  run_tasks(parallel, (count + piece - 1) / piece,
            [&](int64_t i) { body(i * piece, std::min(count, (i + 1) * piece)); });
}

}  // namespace tamis
