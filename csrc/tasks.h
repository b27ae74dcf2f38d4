#pragma once
#include <stdint.h>

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

}  // namespace tamis
