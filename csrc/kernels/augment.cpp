// Two views in one pass: a work item is one (view, sample). Its parameters are drawn first, then
// the operations run in order over its c x t block, which stays in cache; x is read once and every
// view written once. Nothing in the arithmetic depends on the thread, the batch or the instruction
// set: compiled without contraction, so that the bits are those of the reference.
#include "tsssl/augment.h"

#include "augment/operations.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr std::int64_t kTaskElements = 8192;  // at least, per task: about 20 microseconds

// The program, parsed once per call.
class Program {
 public:
  explicit Program(const Draws& draws) : draws_(draws), rows_(draws.rows + 1) {}

  void parse(std::int64_t channels) {
    std::int64_t offset = 0;
    for (std::int64_t i = 0; i < draws_.rows; ++i) {
      rows_[i] = parse_row(draws_.program + i * kProgramColumns);
      rows_[i].offset = offset;
      offset += rows_[i].fixed_slots + rows_[i].channel_slots * channels;
    }
    slots_ = offset;
    Key key{static_cast<std::uint32_t>(draws_.seed[0]),
            static_cast<std::uint32_t>(static_cast<std::uint64_t>(draws_.seed[0]) >> 32)};
    for (int i = 1; i < 4; ++i) key = fold(key, draws_.seed[i]);
    key_ = key;
  }

  std::int64_t size() const { return draws_.rows; }
  // Parameters of one (view, sample).
  std::int64_t slots() const { return slots_; }
  const Row& operator[](std::int64_t i) const { return rows_[i]; }
  const Row* rows() const { return rows_.get(); }

  Subject subject(std::int64_t view, std::int64_t sample, std::int64_t channels,
                  std::int64_t steps) const {
    const std::int64_t id = draws_.ids != nullptr ? draws_.ids[sample] : sample;
    const std::uint64_t u = static_cast<std::uint64_t>(id);
    return {key_,
            static_cast<std::uint32_t>(u),
            static_cast<std::uint32_t>(u >> 32),
            static_cast<std::uint32_t>(view),
            channels,
            draws_.lengths != nullptr ? draws_.lengths[sample] : steps};
  }

 private:
  const Draws& draws_;
  Scratch<Row> rows_;
  std::int64_t slots_ = 0;
  Key key_{};
};

template <class T>
class Workspaces {
 public:
  Workspaces(int threads, int blocks, std::int64_t c, std::int64_t t, std::int64_t slots)
      : size_(c * t),
        t_(t),
        slots_(slots + 1),
        blocks_(blocks),
        values_(threads * (blocks * c + 1) * t),
        left_(threads * t),
        slot_values_(threads * slots_),
        spare_(threads * spare(c)),
        channels_(c) {}

  static std::int64_t spare(std::int64_t channels) { return channels + 64; }

  T* block(int thread, int which) const { return base(thread) + which * size_; }
  Workspace<T> of(int thread) const {
    return {base(thread) + blocks_ * size_, left_.get() + thread * t_};
  }
  double* slots(int thread) const { return slot_values_.get() + thread * slots_; }
  double* spare_of(int thread) const { return spare_.get() + thread * spare(channels_); }

 private:
  T* base(int thread) const { return values_.get() + thread * (blocks_ * size_ + t_); }

  std::int64_t size_, t_, slots_;
  int blocks_;
  Scratch<T> values_;
  Scratch<std::int32_t> left_;
  Scratch<double> slot_values_, spare_;
  std::int64_t channels_;
};

inline const double* parameters_of(const Program& program, const Subject& s, const double* given,
                                   std::int64_t item, double* own, double* spare) {
  if (given != nullptr) return given + item * program.slots();
  for (std::int64_t r = 0; r < program.size(); ++r) draw(program.rows(), r, s, false, own, spare);
  return own;
}

template <class T>
inline void load_block(const Series<T>& x, std::int64_t view, std::int64_t sample, T* block) {
  for (std::int64_t i = 0; i < x.c; ++i) {
    const T* row = x.x + view * x.stride_v + sample * x.stride_n + i * x.stride_c;
    T* out = block + i * x.t;
    if (x.stride_t == 1) {
      __builtin_memcpy(out, row, static_cast<std::size_t>(x.t) * sizeof(T));
    } else {
      for (std::int64_t k = 0; k < x.t; ++k) out[k] = row[k * x.stride_t];
    }
  }
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
  Program program(draws);
  program.parse(x.c);
  const Workspaces<T> workspaces(threads, 1, x.c, x.t, program.slots());
  const std::int64_t items = views * x.n, group = per_task(x.c * x.t);
  parallel_for((items + group - 1) / group, threads, [&](std::int64_t task, int thread) {
    const Workspace<T> work = workspaces.of(thread);
    const std::int64_t end = (task + 1) * group < items ? (task + 1) * group : items;
    for (std::int64_t i = task * group; i < end; ++i) {
      // The views of one sample follow each other: its series is still in cache for the second.
      const std::int64_t sample = i / views, view = i % views, item = view * x.n + sample;
      const Subject s = program.subject(view, sample, x.c, x.t);
      const double* slots = parameters_of(program, s, parameters, item, workspaces.slots(thread),
                                          workspaces.spare_of(thread));
      int swaps = 0;
      for (std::int64_t r = 0; r < program.size(); ++r) {
        if (slots[program[r].offset] != 0) swaps += moves(program[r], s.length);
      }
      // Start in the buffer from which the last move ends in the output.
      T* result = out + item * x.c * x.t;
      Blocks<T> blocks{result, workspaces.block(thread, 0), x.t};
      if (swaps % 2 != 0) blocks.swap();
      load_block(x, view, sample, blocks.x);
      for (std::int64_t r = 0; r < program.size(); ++r) {
        const double* slot = slots + program[r].offset;
        if (slot[0] != 0) apply(program[r], slot, s, work, blocks);
      }
      keep_padding(x, view, sample, s.length, result);
    }
  });
}

template <class T>
void augment_backward(const Series<T>& grad, const Draws& draws, const double* parameters,
                      std::int64_t views, int threads, bool sum, T* grad_x) {
  Program program(draws);
  program.parse(grad.c);
  const Workspaces<T> workspaces(threads, 2, grad.c, grad.t, program.slots());
  const std::int64_t size = grad.c * grad.t;
  parallel_for(grad.n, threads, [&](std::int64_t sample, int thread) {
    const Workspace<T> work = workspaces.of(thread);
    for (std::int64_t view = 0; view < views; ++view) {
      const std::int64_t item = view * grad.n + sample;
      T* total = grad_x + (sum ? sample : item) * size;
      const Subject s = program.subject(view, sample, grad.c, grad.t);
      const double* slots = parameters_of(program, s, parameters, item, workspaces.slots(thread),
                                          workspaces.spare_of(thread));
      Blocks<T> blocks{workspaces.block(thread, 0), workspaces.block(thread, 1), grad.t};
      load_block(grad, view, sample, blocks.x);
      for (std::int64_t r = program.size() - 1; r >= 0; --r) {
        const double* slot = slots + program[r].offset;
        if (slot[0] != 0) apply_adjoint(program[r], slot, s, work, blocks);
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
  Program program(draws);
  program.parse(c);
  const std::int64_t group = per_task(16 * program.slots()), items = views * n;
  const std::int64_t spare = Workspaces<float>::spare(c);
  const Scratch<double> spares(threads * spare);
  parallel_for((items + group - 1) / group, threads, [&](std::int64_t task, int thread) {
    const std::int64_t end = (task + 1) * group < items ? (task + 1) * group : items;
    for (std::int64_t item = task * group; item < end; ++item) {
      const Subject s = program.subject(item / n, item % n, c, t);
      for (std::int64_t r = 0; r < program.size(); ++r) {
        draw(program.rows(), r, s, true, parameters + item * program.slots(),
             spares.get() + thread * spare);
      }
    }
  });
}

}  // namespace

const AugmentKernels& augment_kernels() {
  static constexpr AugmentKernels table{{augment_forward<float>, augment_backward<float>},
                                        {augment_forward<double>, augment_backward<double>},
                                        augment_sample};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
