// Two ways to run the tasks of a driver: one after the other, and by three threads.
#pragma once
#include <atomic>
#include <thread>
#include <vector>

#include "tasks.h"

namespace tamis_test {

inline void serial(int64_t tasks, void* context, void (*body)(void*, int64_t, int64_t)) { body(context, 0, tasks); }

inline void threaded(int64_t tasks, void* context, void (*body)(void*, int64_t, int64_t)) {
  std::vector<std::thread> crew;
  std::atomic<int64_t> next{0};
  for (int i = 0; i < 3; ++i)
    crew.emplace_back([&] {
      for (int64_t task; (task = next++) < tasks;) body(context, task, task + 1);
    });
  for (std::thread& t : crew) t.join();
}

const tamis::Parallel one{1, serial}, three{3, threaded};

}  // namespace tamis_test
