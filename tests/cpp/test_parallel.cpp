// Threads: every task once, members' tasks in order, callers side by side, a forked child. Built a
// second time with ThreadSanitizer, without OpenMP, so that the pool has all the work.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "runtime/parallel.h"
#include "runtime/pool.h"

namespace {

constexpr int kTasks = 300, kMembers = 7;

void check(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

bool each_is_one(const std::vector<int>& counts) {
  for (int count : counts) {
    if (count != 1) return false;
  }
  return true;
}

bool tasks_run_once(int threads) {
  std::vector<int> done(kTasks), shared(kTasks);
  std::atomic<bool> known{true};
  tsssl::parallel_for(kTasks, threads, [&](std::int64_t i, int thread) {
    ++done[i];
    if (thread < 0 || thread >= threads) known = false;
  });
  tsssl::parallel_shares(kTasks, threads, [&](std::int64_t i, int) { ++shared[i]; });
  return known && each_is_one(done) && each_is_one(shared);
}

// Without locks: tasks of one member never run side by side, and keep the list's order.
bool members_keep_their_order(int threads) {
  std::vector<tsssl::TaskMembers> list(kTasks);
  std::vector<std::vector<int>> seen(kMembers), expected(kMembers);
  for (int i = 0; i < kTasks; ++i) {
    list[i] = {i % kMembers, (i * 3 + 1) % kMembers};
    expected[list[i].first].push_back(i);
    if (list[i].second != list[i].first) expected[list[i].second].push_back(i);
  }
  tsssl::parallel_exclusive(list.data(), kTasks, kMembers, threads, [&](std::int64_t i, int) {
    seen[list[i].first].push_back(static_cast<int>(i));
    if (list[i].second != list[i].first) seen[list[i].second].push_back(static_cast<int>(i));
  });
  return seen == expected;
}

struct Counter {
  std::atomic<int> next{0};
  std::vector<int> done = std::vector<int>(kTasks);
};

bool pool_runs_once(int threads) {
  Counter counter;
  const auto take = [](void* context, int) {
    Counter& own = *static_cast<Counter*>(context);
    for (int i = own.next.fetch_add(1); i < kTasks; i = own.next.fetch_add(1)) ++own.done[i];
  };
  if (!tsssl::run_in_pool(threads, take, &counter)) take(&counter, 0);
  return each_is_one(counter.done);
}

}  // namespace

int main() {
  for (int call = 0; call < 200; ++call) {
    const int threads = 1 + call % 5;
    check(tasks_run_once(threads), "a task did not run once");
    check(members_keep_their_order(threads), "a member's tasks out of order");
    check(pool_runs_once(threads), "a task of the pool did not run once");
  }
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([] {
      for (int call = 0; call < 50; ++call) {
        check(tasks_run_once(3), "beside other callers: a task did not run once");
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  check(!tsssl::forked(), "the parent is no child");
#ifndef __SANITIZE_THREAD__  // it does not follow threads of a forked child
  const pid_t child = fork();
  if (child == 0)
    _exit(tsssl::forked() && tasks_run_once(4) && members_keep_their_order(3) ? 0 : 1);
  int status = 0;
  check(waitpid(child, &status, 0) == child && status == 0, "a forked child's tasks");
#endif
  std::puts("parallel: passed");
  return 0;
}
