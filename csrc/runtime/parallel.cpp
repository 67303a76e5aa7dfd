#include "runtime/parallel.h"

#include <atomic>
#include <thread>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace tsssl {

namespace {

constexpr int kShares = 64;

struct alignas(64) Share {
  std::atomic<std::int64_t> next;
  std::int64_t end;
};

void run_share(Share* shares, int threads, int thread, void (*task)(void*, std::int64_t, int),
               void* context) {
  for (int k = 0; k < threads; ++k) {
    Share& share = shares[(thread + k) % threads];
    for (std::int64_t i = share.next.fetch_add(1); i < share.end; i = share.next.fetch_add(1)) {
      task(context, i, thread);
    }
  }
}

}  // namespace

void run_tasks(std::int64_t count, int threads, void (*task)(void*, std::int64_t, int),
               void* context) {
  if (threads > count) threads = static_cast<int>(count);
#ifdef _OPENMP
  if (threads > 1) {
    std::atomic<std::int64_t> next{0};
#pragma omp parallel num_threads(threads)
    {
      const int thread = omp_get_thread_num();
      for (std::int64_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
        task(context, i, thread);
      }
    }
    return;
  }
#endif
  for (std::int64_t i = 0; i < count; ++i) task(context, i, 0);
}

void run_shares(std::int64_t count, int threads, void (*task)(void*, std::int64_t, int),
                void* context) {
  if (threads > count) threads = static_cast<int>(count);
#ifdef _OPENMP
  if (threads > 1 && threads <= kShares) {
    Share shares[kShares];
    for (int t = 0; t < threads; ++t) {
      shares[t].next.store(t * count / threads, std::memory_order_relaxed);
      shares[t].end = (t + 1) * count / threads;
    }
#pragma omp parallel num_threads(threads)
    run_share(shares, threads, omp_get_thread_num(), task, context);
    return;
  }
#endif
  run_tasks(count, threads, task, context);
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
