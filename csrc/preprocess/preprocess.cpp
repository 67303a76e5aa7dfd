// Rows of a batch are independent: a task is a group of rows. Statistics skip NaN and add up as the
// augmentations' do (32 strided partial sums, then a tree), so that they are the same for any
// number of threads, on every instruction set and in the reference.
#include "tsssl/preprocess.h"

#include "runtime/parallel.h"
#include "runtime/scratch.h"
#include "series/rows.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr std::int64_t kTaskElements = 16384;

struct Moments {
  double mean, deviation;
};

TSSSL_INLINE Vec<double> known_or_zero(Vec<double> v, Vec<double> value) {
  return v == v ? value : Vec<double>{};
}

template <class T>
inline Moments moments(const T* x, std::int64_t length) {
  const double none = __builtin_nan("");
  const double n =
      row_sum(x, length, none, [](Vec<double> v) { return known_or_zero(v, broadcast(1.0)); });
  const double mean =
      row_sum(x, length, none, [](Vec<double> v) { return known_or_zero(v, v); }) / n;
  const auto square = [mean](Vec<double> v) { return known_or_zero(v, (v - mean) * (v - mean)); };
  return {mean, root(row_sum(x, length, none, square) / n)};
}

template <class T>
inline void fill_constant(const T* x, T* y, std::int64_t length, double value) {
  for (std::int64_t t = 0; t < length; ++t) y[t] = x[t] == x[t] ? x[t] : static_cast<T>(value);
}

template <class T>
inline void fill_direction(const T* x, T* y, std::int64_t length, bool forward) {
  T last = __builtin_nan("");
  for (std::int64_t i = 0; i < length; ++i) {
    const std::int64_t t = forward ? i : length - 1 - i;
    if (x[t] == x[t]) last = x[t];
    y[t] = last;
  }
}

// Between two known steps a straight line, beyond the first and the last their values.
template <class T>
inline void fill_linear(const T* x, T* y, std::int64_t length) {
  std::int64_t known = -1;
  for (std::int64_t t = 0; t <= length; ++t) {
    if (t < length && !(x[t] == x[t])) continue;
    for (std::int64_t i = known + 1; i < t; ++i) {
      if (known >= 0 && t < length) {
        const double a = x[known], b = x[t];
        const double w = static_cast<double>(i - known) / static_cast<double>(t - known);
        y[i] = static_cast<T>(a + w * (b - a));
      } else {
        y[i] = known >= 0 ? x[known] : (t < length ? x[t] : x[i]);
      }
    }
    if (t < length) y[t] = x[t];
    known = t;
  }
}

template <class T>
inline void standardize(const T* x, T* y, std::int64_t length, double least) {
  const Moments m = moments(x, length);
  if (m.deviation <= least * __builtin_fabs(m.mean)) {
    for (std::int64_t t = 0; t < length; ++t) y[t] = x[t] - x[t];  // NaN stays
    return;
  }
  for (std::int64_t t = 0; t < length; ++t) {
    y[t] = static_cast<T>((static_cast<double>(x[t]) - m.mean) / m.deviation);
  }
}

template <class T>
inline void minmax(const T* x, T* y, std::int64_t length, double low, double high) {
  double least, greatest;
  row_extremes(x, length, least, greatest);
  const double width = greatest > least ? greatest - least : 1.0;
  for (std::int64_t t = 0; t < length; ++t) {
    const double place = (static_cast<double>(x[t]) - least) / width;
    y[t] = static_cast<T>(low + place * (high - low));
  }
}

// Neighbours in ascending order; steps beyond the ends are left out, or the ends repeated.
template <class T>
inline void moving_average(const T* x, T* y, std::int64_t length, std::int64_t window,
                           bool repeat) {
  const std::int64_t half = window / 2, last = length - 1;
  for (std::int64_t t = 0; t < length; ++t) {
    double sum = 0;
    std::int64_t count = 0;
    for (std::int64_t i = t - half; i <= t + half; ++i) {
      if (!repeat && (i < 0 || i > last)) continue;
      sum = sum + static_cast<double>(x[i < 0 ? 0 : (i > last ? last : i)]);
      ++count;
    }
    y[t] = static_cast<T>(sum / static_cast<double>(count));
  }
}

template <class T>
inline void exponential(const T* x, T* y, std::int64_t length, double alpha) {
  double level = x[0];
  for (std::int64_t t = 0; t < length; ++t) {
    level = level + alpha * (static_cast<double>(x[t]) - level);
    y[t] = static_cast<T>(level);
  }
}

template <class T>
inline void clip(const T* x, T* y, std::int64_t length, double low, double high) {
  for (std::int64_t t = 0; t < length; ++t) {
    const double v = x[t];
    y[t] = static_cast<T>(v < low ? low : (v > high ? high : v));
  }
}

// Puts the k-th smallest of n values at place k, smaller ones before it (Hoare).
template <class T>
inline void select(T* v, std::int64_t n, std::int64_t k) {
  std::int64_t begin = 0, end = n - 1;
  while (begin < end) {
    const T pivot = v[begin + (end - begin) / 2];
    std::int64_t i = begin, j = end;
    while (i <= j) {
      while (v[i] < pivot) ++i;
      while (pivot < v[j]) --j;
      if (i > j) break;
      const T held = v[i];
      v[i++] = v[j];
      v[j--] = held;
    }
    if (k <= j) {
      end = j;
    } else if (k >= i) {
      begin = i;
    } else {
      return;
    }
  }
}

// Linear between the two neighbours, as numpy's default.
template <class T>
inline double quantile(T* v, std::int64_t n, double q) {
  const double place = q * static_cast<double>(n - 1);
  const std::int64_t k = static_cast<std::int64_t>(place);
  select(v, n, k);
  const double low = v[k];
  if (k + 1 >= n) return low;
  T next = v[k + 1];
  for (std::int64_t i = k + 2; i < n; ++i) next = v[i] < next ? v[i] : next;
  return low + (place - static_cast<double>(k)) * (static_cast<double>(next) - low);
}

template <class T>
inline void clip_interquartile(const T* x, T* y, std::int64_t length, double factor, T* spare) {
  std::int64_t n = 0;
  for (std::int64_t t = 0; t < length; ++t) {
    if (x[t] == x[t]) spare[n++] = x[t];
  }
  double low = -__builtin_inf(), high = __builtin_inf();
  if (n > 0) {
    const double first = quantile(spare, n, 0.25), third = quantile(spare, n, 0.75);
    low = first - factor * (third - first);
    high = third + factor * (third - first);
  }
  clip(x, y, length, low, high);
}

template <class T>
inline void transform_row(const T* x, T* y, std::int64_t length, RowTask task, double first,
                          double second, T* spare) {
  switch (task) {
    case RowTask::fill_constant:
      return fill_constant(x, y, length, first);
    case RowTask::fill_forward:
      return fill_direction(x, y, length, true);
    case RowTask::fill_backward:
      return fill_direction(x, y, length, false);
    case RowTask::fill_both:
      fill_direction(x, spare, length, true);
      return fill_direction(spare, y, length, false);
    case RowTask::fill_linear:
      return fill_linear(x, y, length);
    case RowTask::standardize:
      return standardize(x, y, length, first);
    case RowTask::minmax:
      return minmax(x, y, length, first, second);
    case RowTask::moving_average:
      return moving_average(x, y, length, static_cast<std::int64_t>(first), second != 0);
    case RowTask::exponential:
      return exponential(x, y, length, first);
    case RowTask::clip_deviations: {
      const Moments m = moments(x, length);
      return clip(x, y, length, m.mean - first * m.deviation, m.mean + first * m.deviation);
    }
    case RowTask::clip_interquartile:
      return clip_interquartile(x, y, length, first, spare);
  }
}

template <class T>
void transform_rows(const T* x, std::int64_t rows, std::int64_t channels, std::int64_t t,
                    const std::int64_t* lengths, RowTask task, double first, double second,
                    int threads, T* out) {
  const std::int64_t group = t < kTaskElements ? kTaskElements / t : 1;
  const Scratch<T> spares(threads * t);
  parallel_for((rows + group - 1) / group, threads, [&](std::int64_t part, int thread) {
    const std::int64_t end = (part + 1) * group < rows ? (part + 1) * group : rows;
    for (std::int64_t r = part * group; r < end; ++r) {
      const std::int64_t length = lengths != nullptr ? lengths[r / channels] : t;
      transform_row(x + r * t, out + r * t, length, task, first, second, spares.get() + thread * t);
      for (std::int64_t i = length; i < t; ++i) out[r * t + i] = x[r * t + i];
    }
  });
}

}  // namespace

const ByDtype<PreprocessKernels>& preprocess_kernels() {
  static constexpr ByDtype<PreprocessKernels> table{{transform_rows<float>},
                                                    {transform_rows<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
