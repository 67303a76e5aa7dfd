#include "runtime/parallel.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "runtime/float_mode.h"
#include "runtime/pool.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace tsssl {

namespace {

using Body = void (*)(void*, int);

#ifdef _OPENMP
std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Are OpenMP's threads kept from running? A region ends when all of them have come, so that one
// whose processor is taken costs a slice of the scheduler, 3 ms, in a call of 1 ms.
class Contention {
 public:
  bool now_is(std::int64_t time) const { return time < until_.load(std::memory_order_relaxed); }

  // The caller worked from `begin` to `end`, then waited until `last` for the other threads. What
  // it waits for a last task is less than its own work, or short.
  void region(std::int64_t begin, std::int64_t end, std::int64_t last) {
    if (last - end < kLate || last - end < end - begin) return;
    const std::int64_t until = until_.load(std::memory_order_relaxed);
    std::int64_t pause = pause_.load(std::memory_order_relaxed);
    // Late again soon after a pause: a longer one. The first after a while: a short one.
    pause = last - until > kCalm ? kFirst : pause < kMost ? 2 * pause : kMost;
    pause_.store(pause, std::memory_order_relaxed);
    until_.store(last + pause, std::memory_order_relaxed);
  }

 private:
  static constexpr std::int64_t kMillisecond = 1000000;
  static constexpr std::int64_t kLate = kMillisecond / 2, kFirst = 20 * kMillisecond,
                                kMost = 1000 * kMillisecond, kCalm = 500 * kMillisecond;
  std::atomic<std::int64_t> until_{0}, pause_{kFirst};
};

Contention contention;
#endif

// body(context, thread) in the caller and in up to threads - 1 others: torch's OpenMP threads,
// which may be spinning on their processors for the next region, or the pool's.
void on_threads(int threads, Body body, void* context) {
#ifdef _OPENMP
  const std::int64_t begin = now();
  if (!forked() && !contention.now_is(begin)) {
    std::int64_t end = begin;
#pragma omp parallel num_threads(threads)
    {
      const FloatMode mode;
      const int thread = omp_get_thread_num();
      body(context, thread);
      if (thread == 0) end = now();
    }
    contention.region(begin, end, now());
    return;
  }
#endif
  if (!run_in_pool(threads, body, context)) body(context, 0);
}

constexpr int kShares = 64;

struct alignas(64) Share {
  std::atomic<std::int64_t> next;
  std::int64_t end;
};

struct Tasks {
  void (*task)(void*, std::int64_t, int);
  void* context;
  std::int64_t count;
  Share* shares;
  int threads;
  std::atomic<std::int64_t> next;
};

void take_tasks(void* pointer, int thread) {
  Tasks& tasks = *static_cast<Tasks*>(pointer);
  for (std::int64_t i = tasks.next.fetch_add(1); i < tasks.count; i = tasks.next.fetch_add(1)) {
    tasks.task(tasks.context, i, thread);
  }
}

void take_shares(void* pointer, int thread) {
  const Tasks& tasks = *static_cast<Tasks*>(pointer);
  for (int k = 0; k < tasks.threads; ++k) {
    Share& share = tasks.shares[(thread + k) % tasks.threads];
    for (std::int64_t i = share.next.fetch_add(1); i < share.end; i = share.next.fetch_add(1)) {
      tasks.task(tasks.context, i, thread);
    }
  }
}

}  // namespace

void run_tasks(std::int64_t count, int threads, void (*task)(void*, std::int64_t, int),
               void* context) {
  if (threads > count) threads = static_cast<int>(count);
  if (threads > 1) {
    Tasks tasks{task, context, count, nullptr, threads, {0}};
    return on_threads(threads, take_tasks, &tasks);
  }
  for (std::int64_t i = 0; i < count; ++i) task(context, i, 0);
}

void run_shares(std::int64_t count, int threads, void (*task)(void*, std::int64_t, int),
                void* context) {
  if (threads > count) threads = static_cast<int>(count);
  if (threads <= 1 || threads > kShares) return run_tasks(count, threads, task, context);
  Share shares[kShares];
  for (int t = 0; t < threads; ++t) {
    shares[t].next.store(t * count / threads, std::memory_order_relaxed);
    shares[t].end = (t + 1) * count / threads;
  }
  Tasks tasks{task, context, count, shares, threads, {0}};
  on_threads(threads, take_shares, &tasks);
}

namespace {

void wait_for(const std::atomic<std::int32_t>& done, std::int32_t turn) {
  constexpr int kSpins = 4000;  // a few microseconds, then the processor is given away
  for (int spins = 0; done.load(std::memory_order_acquire) != turn; ++spins) {
    if (spins > kSpins) std::this_thread::yield();
  }
}

}  // namespace

void run_exclusive(const TaskMembers* list, std::int64_t count, std::int64_t members, int threads,
                   void (*task)(void*, std::int64_t, int), void* context) {
  if (threads <= 1 || count <= 1) {
    for (std::int64_t i = 0; i < count; ++i) task(context, i, 0);
    return;
  }
  // TaskMembers i is the turns[i].first-th of its first member. Tasks are handed out in the order
  // of the list, so what a task waits for has been handed out before it and never waits for it.
  std::vector<TaskMembers> turns(count);
  std::vector<std::int32_t> met(members, 0);
  for (std::int64_t i = 0; i < count; ++i) {
    turns[i] = {met[list[i].first], met[list[i].second]};
    ++met[list[i].first];
    if (list[i].second != list[i].first) ++met[list[i].second];
  }
  std::vector<std::atomic<std::int32_t>> done(members);
  for (auto& turn : done) turn.store(0, std::memory_order_relaxed);
  struct State {
    const TaskMembers* list;
    const TaskMembers* turns;
    std::atomic<std::int32_t>* done;
    void (*task)(void*, std::int64_t, int);
    void* context;
  } state{list, turns.data(), done.data(), task, context};
  run_tasks(
      count, threads,
      [](void* pointer, std::int64_t i, int thread) {
        const State& s = *static_cast<State*>(pointer);
        const TaskMembers member = s.list[i], turn = s.turns[i];
        wait_for(s.done[member.first], turn.first);
        wait_for(s.done[member.second], turn.second);
        s.task(s.context, i, thread);
        s.done[member.first].store(turn.first + 1, std::memory_order_release);
        if (member.second != member.first) {
          s.done[member.second].store(turn.second + 1, std::memory_order_release);
        }
      },
      &state);
}

}  // namespace tsssl
