// The only place that knows threads (README.md says whose they are). Kernels hand it independent
// tasks; which thread runs which task never changes a result, so kernels are bit-identical for any
// number of threads.
#pragma once
#include <cstdint>

namespace tsssl {

// Calls task(context, index, thread) for every index in [0, count), thread in [0, threads).
// Indices are handed out in ascending order to whichever thread is free. Runs in the calling
// thread alone where threads <= 1 or count <= 1.
void run_tasks(std::int64_t count, int threads, void (*task)(void*, std::int64_t, int),
               void* context);

// The same with a share of neighbouring indices for every thread, which helps with the others'
// shares when its own is done: in the next region it meets the same data in its own cache.
void run_shares(std::int64_t count, int threads, void (*task)(void*, std::int64_t, int),
                void* context);

// Two members that a task touches; the same one twice where it touches one.
struct TaskMembers {
  std::int32_t first, second;
};

// Calls task(context, index, thread) for every entry of the list. A member's entries are run one
// after the other in the order of the list, whatever the thread count; entries without a common
// member run side by side. One parallel region and no barrier: at the end of a round all wait
// for the slowest thread, which on a busy machine may not be running.
void run_exclusive(const TaskMembers* list, std::int64_t count, std::int64_t members, int threads,
                   void (*task)(void*, std::int64_t, int), void* context);

namespace {  // internal linkage: instantiated separately for every instruction set

// f(index, thread)
template <class F>
inline void parallel_for(std::int64_t count, int threads, const F& f) {
  run_tasks(
      count, threads,
      [](void* context, std::int64_t index, int thread) {
        (*static_cast<const F*>(context))(index, thread);
      },
      const_cast<F*>(&f));
}

// f(index, thread); neighbouring indices stay with a thread.
template <class F>
inline void parallel_shares(std::int64_t count, int threads, const F& f) {
  run_shares(
      count, threads,
      [](void* context, std::int64_t index, int thread) {
        (*static_cast<const F*>(context))(index, thread);
      },
      const_cast<F*>(&f));
}

// f(index, thread)
template <class F>
inline void parallel_exclusive(const TaskMembers* list, std::int64_t count, std::int64_t members,
                               int threads, const F& f) {
  run_exclusive(
      list, count, members, threads,
      [](void* context, std::int64_t index, int thread) {
        (*static_cast<const F*>(context))(index, thread);
      },
      const_cast<F*>(&f));
}

}  // namespace
}  // namespace tsssl
