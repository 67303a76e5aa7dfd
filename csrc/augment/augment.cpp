// Two views in one pass: a work item is one (view, sample). Its parameters are drawn first, then
// the operations run in order over its c x t block, which stays in cache; x is read once and every
// view written once. Nothing in the arithmetic depends on the thread, the batch or the instruction
// set: compiled without contraction, so that the bits are those of the reference.
#include "tsssl/augment.h"

#include "augment/drawings.h"
#include "augment/operations.h"
#include "runtime/parallel.h"
#include "runtime/scratch.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr std::int64_t kTaskElements = 8192;  // at least, per task: about 20 microseconds
constexpr std::int64_t kExpected = 64 << 10;  // bytes of a block that are fetched ahead of its turn

// Blocks of c x t for every thread, and a time map.
template <class T>
class Workspaces {
 public:
  Workspaces(int threads, int blocks, std::int64_t c, std::int64_t t)
      : size_(c * t),
        map_((t + kSteps) / 16 * 16 + 16),
        values_size_((blocks * size_) / 16 * 16 + 16),
        values_(threads * (values_size_ + map_)),
        left_(threads * map_) {}

  T* block(int thread, int which) const { return base(thread) + which * size_; }
  Workspace<T> of(int thread) const {
    return {base(thread) + values_size_, left_.get() + thread * map_};
  }

 private:
  T* base(int thread) const { return values_.get() + thread * (values_size_ + map_); }

  std::int64_t size_, map_, values_size_;
  Scratch<T> values_;
  Scratch<std::int32_t> left_;
};

template <class T>
inline const T* series(const Series<T>& x, std::int64_t view, std::int64_t sample) {
  return x.x + view * x.stride_v + sample * x.stride_n;
}

template <class T>
inline bool contiguous(const Series<T>& x) {
  return x.stride_t == 1 && x.stride_c == x.t;
}

template <class T>
inline void load_block(const Series<T>& x, std::int64_t view, std::int64_t sample, T* block) {
  const T* first = series(x, view, sample);
  if (contiguous(x)) {
    __builtin_memcpy(block, first, static_cast<std::size_t>(x.c * x.t) * sizeof(T));
    return;
  }
  for (std::int64_t i = 0; i < x.c; ++i) {
    const T* row = first + i * x.stride_c;
    T* out = block + i * x.t;
    if (x.stride_t == 1) {
      __builtin_memcpy(out, row, static_cast<std::size_t>(x.t) * sizeof(T));
    } else {
      for (std::int64_t k = 0; k < x.t; ++k) out[k] = row[k * x.stride_t];
    }
  }
}

// The blocks of the next item, brought into the second level cache while this one is computed. In
// training the encoder's step lies between two calls, and a view's lines come from memory; so do
// those of a batch that is larger than the cache (1024 x 9 x 128: a fifth of the time). A piece
// before each operation: all lines at once fill the line buffers (2 to 6 % slower).
//
// Always inlined: GCC takes a function that does nothing but prefetch for one without effects and
// drops its calls.
template <class T>
struct Ahead {
  const T* x;  // or null
  const T* out;
  std::int64_t size, piece;

  TSSSL_INLINE void fetch(std::int64_t number) const {
    constexpr std::int64_t kLine = 64 / sizeof(T);
    std::int64_t end = (number + 1) * piece;
    end = end < size ? end : size;
    for (std::int64_t k = number * piece; k < end; k += kLine) {
      __builtin_prefetch(out + k, 1, 2);
      if (x != nullptr) __builtin_prefetch(x + k, 0, 2);
    }
  }
};

template <class T>
inline Ahead<T> ahead_of(const Series<T>& x, std::int64_t views, std::int64_t i,
                         std::int64_t operations, const T* out) {
  constexpr std::int64_t kLine = 64 / sizeof(T), kMost = kExpected / sizeof(T);
  const std::int64_t next = i + 1, sample = next / views, view = next % views, size = x.c * x.t;
  if (sample >= x.n || size > kMost || operations == 0) return {nullptr, out, 0, 0};
  // Views of one sample mostly read the same series.
  const bool other = view == 0 || x.stride_v != 0;
  return {other && contiguous(x) ? series(x, view, sample) : nullptr,
          out + (view * x.n + sample) * size, size, (size / operations / kLine + 1) * kLine};
}

inline std::int64_t per_task(std::int64_t elements) {
  const std::int64_t items = kTaskElements / (elements > 0 ? elements : 1);
  return items < 1 ? 1 : items;
}

// Padding keeps what x has there.
template <class T>
inline void keep_padding(const Series<T>& x, std::int64_t view, std::int64_t sample,
                         std::int64_t length, T* out) {
  for (std::int64_t c = 0; c < x.c && length < x.t; ++c) {
    const T* row = x.x + view * x.stride_v + sample * x.stride_n + c * x.stride_c;
    for (std::int64_t t = length; t < x.t; ++t) out[c * x.t + t] = row[t * x.stride_t];
  }
}

template <class T>
void augment_forward(const Series<T>& x, const Draws& draws, const double* parameters,
                     std::int64_t views, int threads, T* out) {
  const Program program(draws, x.c);
  const Drawings drawings(threads, program, x.c);
  const Workspaces<T> workspaces(threads, 1, x.c, x.t);
  const std::int64_t items = views * x.n, group = per_task(x.c * x.t);
  const std::int64_t tasks = (items + group - 1) / group;
  // Fixed shares of the tasks: in the next call, as in the pass that reads the views, a thread's
  // lines are those that it wrote itself.
  parallel_shares(tasks, threads, [&](std::int64_t task, int thread) {
    const Workspace<T> work = workspaces.of(thread);
    const std::int64_t end = (task + 1) * group < items ? (task + 1) * group : items;
    for (std::int64_t i = task * group; i < end; ++i) {
      // The views of one sample follow each other: its series is still in cache for the second.
      const std::int64_t sample = i / views, view = i % views, item = view * x.n + sample;
      const Ahead<T> ahead = ahead_of(x, views, i, program.size(), out);
      const Subject s = program.subject(view, sample, x.c, x.t);
      const double* slots = parameters_of(program, s, parameters, item, drawings.of(thread));
      std::int64_t first = program.size();
      int swaps = 0;
      for (std::int64_t r = program.size() - 1; r >= 0; --r) {
        if (slots[program[r].offset + kActs] == 0) continue;
        first = r;
        swaps += moves(program[r], s.length);
      }
      // Start in the buffer from which the last move ends in the output.
      T* result = out + item * x.c * x.t;
      T* spare = workspaces.block(thread, 0);
      DoubleBuffer<T> blocks{result, spare, x.t};
      if (swaps % 2 != 0) blocks.swap();
      for (std::int64_t r = 0; r < first; ++r) ahead.fetch(r);
      if (first < program.size() && moves(program[first], s.length) == 1 && contiguous(x)) {
        // The first operation reads x itself, which it does not write: no copy.
        ahead.fetch(first);
        T* const target = blocks.other;
        blocks.x = const_cast<T*>(series(x, view, sample));
        apply(program[first], slots + program[first].offset, s, work, blocks);
        blocks.other = target == result ? spare : result;
        ++first;
      } else {
        load_block(x, view, sample, blocks.x);
      }
      for (std::int64_t r = first; r < program.size(); ++r) {
        const double* slot = slots + program[r].offset;
        ahead.fetch(r);
        if (slot[kActs] != 0) apply(program[r], slot, s, work, blocks);
      }
      keep_padding(x, view, sample, s.length, result);
    }
  });
}

template <class T>
void augment_backward(const Series<T>& grad, const Draws& draws, const double* parameters,
                      std::int64_t views, int threads, bool sum, T* grad_x) {
  const Program program(draws, grad.c);
  const Drawings drawings(threads, program, grad.c);
  const Workspaces<T> workspaces(threads, 2, grad.c, grad.t);
  const std::int64_t size = grad.c * grad.t;
  parallel_for(grad.n, threads, [&](std::int64_t sample, int thread) {
    const Workspace<T> work = workspaces.of(thread);
    for (std::int64_t view = 0; view < views; ++view) {
      const std::int64_t item = view * grad.n + sample;
      T* total = grad_x + (sum ? sample : item) * size;
      const Subject s = program.subject(view, sample, grad.c, grad.t);
      const double* slots = parameters_of(program, s, parameters, item, drawings.of(thread));
      DoubleBuffer<T> blocks{workspaces.block(thread, 0), workspaces.block(thread, 1), grad.t};
      load_block(grad, view, sample, blocks.x);
      for (std::int64_t r = program.size() - 1; r >= 0; --r) {
        const double* slot = slots + program[r].offset;
        if (slot[kActs] != 0) apply_adjoint(program[r], slot, s, work, blocks);
      }
      keep_padding(grad, view, sample, s.length, blocks.x);
      if (sum && view > 0) {
        for (std::int64_t k = 0; k < size; ++k) total[k] += blocks.x[k];
      } else {
        __builtin_memcpy(total, blocks.x, static_cast<std::size_t>(size) * sizeof(T));
      }
    }
  });
}

void augment_sample(const Draws& draws, std::int64_t views, std::int64_t n, std::int64_t c,
                    std::int64_t t, int threads, double* parameters) {
  const Program program(draws, c);
  const Drawings drawings(threads, program, c);
  const std::int64_t group = per_task(16 * program.slots()), items = views * n;
  parallel_for((items + group - 1) / group, threads, [&](std::int64_t task, int thread) {
    const std::int64_t end = (task + 1) * group < items ? (task + 1) * group : items;
    for (std::int64_t item = task * group; item < end; ++item) {
      const Subject s = program.subject(item / n, item % n, c, t);
      const Drawing own = drawings.of(thread);
      program.draw_all(s, true, own.words, parameters + item * program.slots(), own.spare);
    }
  });
}

}  // namespace

const ByDtype<AugmentKernels>& augment_kernels() {
  static constexpr ByDtype<AugmentKernels> table{
      {augment_forward<float>, augment_backward<float>},
      {augment_forward<double>, augment_backward<double>}};
  return table;
}

const AugmentSample& augment_sample_kernel() {
  static constexpr AugmentSample kernel = augment_sample;
  return kernel;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
