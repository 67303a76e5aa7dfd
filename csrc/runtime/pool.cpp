#include "runtime/pool.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "runtime/float_mode.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#define TSSSL_POSIX_THREADS 1
#endif

namespace tsssl {
namespace {

// Workers sleep between regions: one that spins takes the processor of those who wait for it.
class Pool {
 public:
  bool run(int threads, void (*body)(void*, int), void* context) {
    const std::unique_lock<std::mutex> user(user_, std::try_to_lock);
    if (!user.owns_lock()) return false;
    grow(threads - 1);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      body_ = body;
      context_ = context;
      seats_ = threads - 1 < workers_ ? threads - 1 : workers_;
      next_ = 1;
    }
    for (int seat = 1; seat < threads; ++seat) wake_.notify_one();
    body(context, 0);
    std::unique_lock<std::mutex> lock(mutex_);
    seats_ = 0;
    done_.wait(lock, [this] { return inside_ == 0; });
    return true;
  }

 private:
  void grow(int workers) {
    while (workers_ < workers) {
      try {
        std::thread([this] { serve(); }).detach();
      } catch (const std::system_error&) {
        return;  // no more threads to be had: those that are there do the work
      }
      ++workers_;
    }
  }

  void serve() {
#ifdef TSSSL_POSIX_THREADS
    sigset_t all;  // signals belong to Python's main thread
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
#endif
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return seats_ > 0; });
      --seats_;
      ++inside_;
      const int thread = next_++;
      void (*const body)(void*, int) = body_;
      void* const context = context_;
      lock.unlock();
      {
        const FloatMode mode;
        body(context, thread);
      }
      lock.lock();
      if (--inside_ == 0) done_.notify_one();
    }
  }

  std::mutex user_, mutex_;
  std::condition_variable wake_, done_;
  void (*body_)(void*, int) = nullptr;
  void* context_ = nullptr;
  int workers_ = 0, seats_ = 0, inside_ = 0, next_ = 1;
};

// Never freed: its threads may outlive the objects that a process destroys at its end.
std::atomic<Pool*> current{nullptr};

Pool& pool() {
  Pool* found = current.load();
  if (found == nullptr) {
    Pool* const made = new Pool;
    if (current.compare_exchange_strong(found, made)) return *made;
    delete made;
  }
  return *found;
}

std::atomic<bool> in_child{false};

#ifdef TSSSL_POSIX_THREADS
// A child has none of its parent's threads, and one of those may hold a lock.
const int registered = pthread_atfork(nullptr, nullptr, [] {
  current.store(nullptr);
  in_child.store(true);
});
#endif

}  // namespace

bool forked() { return in_child.load(std::memory_order_relaxed); }

bool run_in_pool(int threads, void (*body)(void*, int), void* context) {
  return pool().run(threads, body, context);
}

}  // namespace tsssl
