// Two views in one pass: a work item is one (view, sample). Its parameters are drawn first, then
// the operations run in order over its c x t block, which stays in cache; x is read once and every
// view written once. Nothing in the arithmetic depends on the thread, the batch or the instruction
// set: compiled without contraction, so that the bits are those of the reference.
#include "tsssl/augment.h"

#include "augment/positions.h"
#include "augment/rows.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
TSSSL_DEVICE void swap(T*& a, T*& b) {
  T* const old = a;
  a = b;
  b = old;
}

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

  Subject subject(std::int64_t view, std::int64_t sample, std::int64_t channels,
                  std::int64_t length) const {
    const std::int64_t id = draws_.ids != nullptr ? draws_.ids[sample] : sample;
    const std::uint64_t u = static_cast<std::uint64_t>(id);
    return {key_,
            static_cast<std::uint32_t>(u),
            static_cast<std::uint32_t>(u >> 32),
            static_cast<std::uint32_t>(view),
            channels,
            length};
  }

 private:
  const Draws& draws_;
  Scratch<Row> rows_;
  std::int64_t slots_ = 0;
  Key key_{};
};

// Working memory of one thread.
template <class T>
struct Workspace {
  T* block;    // c x t
  T* weight;   // t
  T* channel;  // t
  std::int32_t* left;
  double* slots;
};

template <class T>
class Workspaces {
 public:
  Workspaces(int threads, std::int64_t c, std::int64_t t, std::int64_t slots)
      : c_(c),
        t_(t),
        slots_(slots),
        values_(threads * (c + 2) * t),
        left_(threads * t),
        slot_values_(threads * (slots + 1)) {}

  Workspace<T> of(int thread) const {
    T* base = values_.get() + thread * (c_ + 2) * t_;
    return {base, base + c_ * t_, base + (c_ + 1) * t_, left_.get() + thread * t_,
            slot_values_.get() + thread * (slots_ + 1)};
  }

 private:
  std::int64_t c_, t_, slots_;
  Scratch<T> values_;
  Scratch<std::int32_t> left_;
  Scratch<double> slot_values_;
};

// How many times an operation moves the block to the other buffer.
inline int moves(const Row& row, std::int64_t length) {
  switch (row.code) {
    case kTimeFlip:
      return 1;
    case kCropResize:
    case kTimeWarp:
      return length > 1 ? 1 : 0;
    case kSmooth:
      return static_cast<int>(row.a[2]);
    default:
      return 0;
  }
}

template <class T>
inline void time_map(const Row& row, const double* slot, std::int64_t length,
                     const Workspace<T>& work) {
  if (row.code == kCropResize) {
    crop_positions(slot, length, work.left, work.weight);
  } else {
    warp_positions(slot + 2, row.fixed_slots - 2, length, work.left, work.weight);
  }
}

template <class T>
inline void multiply_warp(const Row& row, const double* slot, T* x, std::int64_t c, std::int64_t t,
                          std::int64_t length) {
  const T amplitude = static_cast<T>(slot[1]);
  const T offset = row.a[4] == 0 ? T(1) : amplitude;
  const std::uint32_t step = phase_step(slot[2], length);
  for (std::int64_t i = 0; i < c; ++i) {
    const std::uint32_t theta =
        static_cast<std::uint32_t>(static_cast<std::int64_t>(slot[3 + i] * 4294967296.0));
    multiply_wave(x + i * t, length, theta, step, offset, amplitude);
  }
}

// One operation on the block in `x`, in place or from `x` to `other`; swaps the two where it moved.
template <class T>
inline void apply(const Row& row, const double* slot, const Subject& s, std::int64_t t,
                  const Workspace<T>& work, T*& x, T*& other) {
  const std::int64_t c = s.channels, length = s.length;
  switch (row.code) {
    case kTimeFlip:
      for (std::int64_t i = 0; i < c; ++i) reverse(x + i * t, other + i * t, length);
      break;
    case kSignFlip:
      for (std::int64_t i = 0; i < c * t; ++i) x[i] = -x[i];
      break;
    case kBlockout: {
      const std::int64_t first = static_cast<std::int64_t>(slot[2]);
      const std::int64_t last = first + static_cast<std::int64_t>(slot[1]);
      const T fill = static_cast<T>(row.a[3]);
      for (std::int64_t i = 0; i < c; ++i) {
        for (std::int64_t k = first; k < last; ++k) x[i * t + k] = fill;
      }
      break;
    }
    case kRandomNoise: {
      const ElementStream stream{s.key, row.stream | kElementPurpose | s.view, s.id_lo, s.id_hi};
      const T scale = static_cast<T>(slot[1]);
      for (std::int64_t i = 0; i < c; ++i) {
        const T sigma = static_cast<T>(row_std(x + i * t, length));
        add_noise(x + i * t, length, i, scale * sigma, row.a[2] != 0, stream);
      }
      break;
    }
    case kMagnitudeWarp:
      multiply_warp(row, slot, x, c, t, length);
      break;
    case kCropResize:
    case kTimeWarp:
      if (length < 2) return;
      time_map(row, slot, length, work);
      for (std::int64_t i = 0; i < c; ++i) {
        interpolate(x + i * t, other + i * t, length, work.left, work.weight);
      }
      break;
    case kSmooth: {
      const T side = static_cast<T>(slot[1] * 0.5), centre = static_cast<T>(1.0 - slot[1]);
      for (int pass = 0; pass < moves(row, length); ++pass) {
        for (std::int64_t i = 0; i < c; ++i) {
          smooth(x + i * t, other + i * t, length, centre, side);
        }
        swap(x, other);
      }
      return;
    }
    default:
      break;
  }
  if (moves(row, length) == 1) swap(x, other);
}

// The adjoint of one operation, in place.
template <class T>
inline void adjoint(const Row& row, const double* slot, const Subject& s, std::int64_t t,
                    const Workspace<T>& work, T* g) {
  const std::int64_t c = s.channels, length = s.length;
  const auto each_channel = [&](const auto& f) {
    for (std::int64_t i = 0; i < c; ++i) {
      T* row_begin = g + i * t;
      f(row_begin, work.channel);
      for (std::int64_t k = 0; k < length; ++k) row_begin[k] = work.channel[k];
    }
  };
  switch (row.code) {
    case kTimeFlip:
      each_channel([&](const T* in, T* out) { reverse(in, out, length); });
      break;
    case kSignFlip:
      for (std::int64_t i = 0; i < c * t; ++i) g[i] = -g[i];
      break;
    case kBlockout: {
      const std::int64_t first = static_cast<std::int64_t>(slot[2]);
      const std::int64_t last = first + static_cast<std::int64_t>(slot[1]);
      for (std::int64_t i = 0; i < c; ++i) {
        for (std::int64_t k = first; k < last; ++k) g[i * t + k] = 0;
      }
      break;
    }
    case kMagnitudeWarp:
      multiply_warp(row, slot, g, c, t, length);
      break;
    case kCropResize:
    case kTimeWarp:
      if (length < 2) return;
      time_map(row, slot, length, work);
      each_channel([&](const T* in, T* out) {
        interpolate_adjoint(in, out, length, work.left, work.weight);
      });
      break;
    case kSmooth: {
      const T side = static_cast<T>(slot[1] * 0.5), centre = static_cast<T>(1.0 - slot[1]);
      for (int pass = 0; pass < moves(row, length); ++pass) {
        each_channel([&](const T* in, T* out) { smooth_adjoint(in, out, length, centre, side); });
      }
      break;
    }
    default:
      break;
  }
}

inline const double* parameters_of(const Program& program, const Subject& s, const double* given,
                                   std::int64_t item, double* own) {
  if (given != nullptr) return given + item * program.slots();
  for (std::int64_t r = 0; r < program.size(); ++r) {
    draw(program[r], s, false, own + program[r].offset);
  }
  return own;
}

template <class T>
inline void load_block(const Series<T>& x, std::int64_t sample, T* block) {
  for (std::int64_t i = 0; i < x.c; ++i) {
    const T* row = x.x + sample * x.stride_n + i * x.stride_c;
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

template <class T>
void augment_forward(const Series<T>& x, const Draws& draws, const double* parameters,
                     std::int64_t views, int threads, T* out) {
  Program program(draws);
  program.parse(x.c);
  const Workspaces<T> workspaces(threads, x.c, x.t, program.slots());
  const std::int64_t items = views * x.n, group = per_task(x.c * x.t);
  parallel_for((items + group - 1) / group, threads, [&](std::int64_t task, int thread) {
    const Workspace<T> work = workspaces.of(thread);
    const std::int64_t end = (task + 1) * group < items ? (task + 1) * group : items;
    for (std::int64_t i = task * group; i < end; ++i) {
      // The views of one sample follow each other: its series is still in cache for the second.
      const std::int64_t sample = i / views, view = i % views, item = view * x.n + sample;
      const Subject s = program.subject(view, sample, x.c, x.t);
      const double* slots = parameters_of(program, s, parameters, item, work.slots);
      int swaps = 0;
      for (std::int64_t r = 0; r < program.size(); ++r) {
        if (slots[program[r].offset] != 0) swaps += moves(program[r], s.length);
      }
      // Start in the buffer from which the last move ends in the output.
      T* result = out + item * x.c * x.t;
      T* current = swaps % 2 == 0 ? result : work.block;
      T* other = swaps % 2 == 0 ? work.block : result;
      load_block(x, sample, current);
      for (std::int64_t r = 0; r < program.size(); ++r) {
        const double* slot = slots + program[r].offset;
        if (slot[0] != 0) apply(program[r], slot, s, x.t, work, current, other);
      }
    }
  });
}

template <class T>
void augment_backward(const Series<T>& grad, const Draws& draws, const double* parameters,
                      std::int64_t views, int threads, T* grad_x) {
  Program program(draws);
  program.parse(grad.c);
  const Workspaces<T> workspaces(threads, grad.c, grad.t, program.slots());
  const std::int64_t size = grad.c * grad.t;
  parallel_for(grad.n, threads, [&](std::int64_t sample, int thread) {
    const Workspace<T> work = workspaces.of(thread);
    T* total = grad_x + sample * size;
    for (std::int64_t k = 0; k < size; ++k) total[k] = 0;
    for (std::int64_t view = 0; view < views; ++view) {
      const std::int64_t item = view * grad.n + sample;
      const Subject s = program.subject(view, sample, grad.c, grad.t);
      const double* slots = parameters_of(program, s, parameters, item, work.slots);
      load_block(grad, item, work.block);
      for (std::int64_t r = program.size() - 1; r >= 0; --r) {
        const double* slot = slots + program[r].offset;
        if (slot[0] != 0) adjoint(program[r], slot, s, grad.t, work, work.block);
      }
      for (std::int64_t k = 0; k < size; ++k) total[k] += work.block[k];
    }
  });
}

void augment_sample(const Draws& draws, std::int64_t views, std::int64_t n, std::int64_t c,
                    std::int64_t t, int threads, double* parameters) {
  Program program(draws);
  program.parse(c);
  const std::int64_t group = per_task(16 * program.slots()), items = views * n;
  parallel_for((items + group - 1) / group, threads, [&](std::int64_t task, int) {
    const std::int64_t end = (task + 1) * group < items ? (task + 1) * group : items;
    for (std::int64_t item = task * group; item < end; ++item) {
      const Subject s = program.subject(item / n, item % n, c, t);
      for (std::int64_t r = 0; r < program.size(); ++r) {
        draw(program[r], s, true, parameters + item * program.slots() + program[r].offset);
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
