#include "cpu/parallel.h"

#include <atomic>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace tsssl {

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

}  // namespace tsssl
