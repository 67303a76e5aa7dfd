// Which thread takes which tasks of a batch.
#pragma once
#include <cstdint>

#include "cpu/scratch.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Hands every thread the tasks of its own stretch in ascending order, then what others have left:
// in the next call, as in the pass that reads the views, a thread meets lines that it wrote itself.
class Stretches {
 public:
  Stretches(int threads, std::int64_t tasks)
      : threads_(threads), tasks_(tasks), taken_(threads * kApart) {
    for (int i = 0; i < threads; ++i) taken_[i * kApart] = 0;
  }

  // One task; as many calls as there are tasks, from whichever thread.
  std::int64_t next(int thread) const {
    for (int i = 0;; ++i) {
      const int owner = (thread + i) % threads_;
      const std::int64_t begin = owner * tasks_ / threads_;
      const std::int64_t size = (owner + 1) * tasks_ / threads_ - begin;
      std::int64_t* const taken = taken_.get() + owner * kApart;
      if (__atomic_load_n(taken, __ATOMIC_RELAXED) >= size) continue;
      const std::int64_t own = __atomic_fetch_add(taken, 1, __ATOMIC_RELAXED);
      if (own < size) return begin + own;
    }
  }

 private:
  static constexpr int kApart = 16;  // threads share no cache line
  int threads_;
  std::int64_t tasks_;
  Scratch<std::int64_t> taken_;
};

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
