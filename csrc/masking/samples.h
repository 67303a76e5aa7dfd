// A task is a group of samples; sums over samples are added in their order afterwards, so that
// results are the same for any number of threads.
#pragma once
#include "runtime/parallel.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// f(sample, thread), several samples a task where they are small. Shares: what a thread writes it
// reads in the next pass.
template <class F>
inline void for_samples(std::int64_t n, std::int64_t elements, std::int64_t per_task, int threads,
                        const F& f) {
  const std::int64_t group = elements < per_task ? per_task / elements : 1;
  parallel_shares((n + group - 1) / group, threads, [&](std::int64_t task, int thread) {
    const std::int64_t end = (task + 1) * group < n ? (task + 1) * group : n;
    for (std::int64_t i = task * group; i < end; ++i) f(i, thread);
  });
}

constexpr std::int64_t kStreamed = 32768;  // elements of a task, 0.1 ns each

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
