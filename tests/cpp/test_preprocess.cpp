// Rows of every compiled instruction set against plain loops in long double: the same bits on all
// of them, for any number of threads; padding keeps its values.
#include "support.h"

namespace {

using support::Real;
using tsssl::RowTask;

constexpr std::int64_t kSamples = 3, kChannels = 2, kSteps = 77;
constexpr std::int64_t kRows = kSamples * kChannels;
constexpr std::int64_t kLengths[kSamples] = {77, 40, 1};

struct Case {
  RowTask task;
  const char* name;
  double first, second;
  bool gaps;  // whether it takes NaN
  double unit = 1;
};

const Case kCases[] = {{RowTask::fill_constant, "fill_constant", 2.5, 0, true},
                       {RowTask::fill_forward, "fill_forward", 0, 0, true},
                       {RowTask::fill_both, "fill_both", 0, 0, true},
                       {RowTask::fill_linear, "fill_linear", 0, 0, true},
                       {RowTask::standardize, "standardize", 1e-8, 0, true},
                       {RowTask::standardize, "standardize, small unit", 1e-8, 0, true, 1e-30},
                       {RowTask::minmax, "minmax", -1, 1, true},
                       {RowTask::moving_average, "moving_average", 5, 1, false},
                       {RowTask::exponential, "exponential", 0.3, 0, false}};

bool known(Real x) { return x == x; }

// The nearest known step from t in a direction, or -1.
std::int64_t nearest(const std::vector<Real>& x, std::int64_t t, int step) {
  const std::int64_t length = static_cast<std::int64_t>(x.size());
  while (t >= 0 && t < length && !known(x[t])) t += step;
  return t >= 0 && t < length ? t : -1;
}

std::vector<Real> filled(const Case& c, const std::vector<Real>& x) {
  std::vector<Real> y = x;
  for (std::int64_t t = 0; t < static_cast<std::int64_t>(x.size()); ++t) {
    const std::int64_t left = nearest(x, t, -1), right = nearest(x, t, 1);
    if (known(x[t])) continue;
    if (c.task == RowTask::fill_constant) {
      y[t] = c.first;
    } else if (c.task == RowTask::fill_linear && left >= 0 && right >= 0) {
      y[t] = x[left] + Real(t - left) / (right - left) * (x[right] - x[left]);
    } else if (left >= 0) {
      y[t] = x[left];
    } else if (c.task != RowTask::fill_forward && right >= 0) {
      y[t] = x[right];
    }
  }
  return y;
}

std::vector<Real> scaled(const Case& c, const std::vector<Real>& x) {
  Real count = 0, mean = 0, squares = 0, low = INFINITY, high = -INFINITY;
  for (Real v : x) {
    if (!known(v)) continue;
    count += 1;
    mean += v;
    low = std::fmin(low, v);
    high = std::fmax(high, v);
  }
  mean /= count;
  for (Real v : x) squares += known(v) ? (v - mean) * (v - mean) : 0;
  const Real deviation = std::sqrt(squares / count);
  std::vector<Real> y = x;
  for (Real& v : y) {
    if (c.task == RowTask::standardize) {
      const bool constant = deviation <= c.first * std::fabs(mean);
      v = constant ? v - v : (v - mean) / deviation;
    } else {
      v = c.first + (v - low) / (high > low ? high - low : 1) * (c.second - c.first);
    }
  }
  return y;
}

std::vector<Real> smoothed(const Case& c, const std::vector<Real>& x) {
  const std::int64_t last = static_cast<std::int64_t>(x.size()) - 1;
  std::vector<Real> y = x;
  Real level = x[0];
  for (std::int64_t t = 0; t <= last; ++t) {
    level += Real(c.first) * (x[t] - level);
    y[t] = level;
    if (c.task == RowTask::exponential) continue;
    const std::int64_t half = static_cast<std::int64_t>(c.first) / 2;
    y[t] = 0;
    for (std::int64_t i = t - half; i <= t + half; ++i) {
      y[t] += x[i < 0 ? 0 : (i > last ? last : i)] / (2 * half + 1);
    }
  }
  return y;
}

std::vector<Real> definition(const Case& c, const std::vector<Real>& x) {
  if (c.task <= RowTask::fill_linear) return filled(c, x);
  if (c.task <= RowTask::minmax) return scaled(c, x);
  return smoothed(c, x);
}

template <class T>
std::vector<T> input(bool gaps, double unit) {
  std::vector<T> x = support::normals<T>(kRows * kSteps, 5);
  for (std::size_t k = 0; gaps && k < x.size(); ++k) {
    const bool only = kLengths[k / (kChannels * kSteps)] == 1;
    if (!only && k % 5 < 2) x[k] = T(NAN);
  }
  for (T& v : x) v = static_cast<T>(v * unit);
  return x;
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  bool equal = a.size() == b.size();
  for (std::size_t k = 0; equal && k < a.size(); ++k) {
    equal = a[k] == b[k] || (a[k] != a[k] && b[k] != b[k]);
  }
  return equal;
}

// The first instruction set's values are kept in `first`; the others' have to be the same.
template <class T>
void check(const char* isa, const tsssl::PreprocessKernels<T>& kernels,
           std::vector<std::vector<T>>& first) {
  std::size_t number = 0;
  for (const Case& c : kCases) {
    const std::vector<T> x = input<T>(c.gaps, c.unit);
    std::vector<T> found;
    for (int threads : {1, 3}) {
      std::vector<T> out(x.size(), T(99));
      kernels.transform(x.data(), kRows, kChannels, kSteps, kLengths, c.task, c.first, c.second,
                        threads, out.data());
      if (found.empty()) found = out;
      support::expect(same(out, found), isa, support::bits<T>(c.name) + ", threads");
    }
    Real error = 0;
    bool padding = true;
    for (std::int64_t row = 0; row < kRows; ++row) {
      const T* from = x.data() + row * kSteps;
      const std::int64_t length = kLengths[row / kChannels];
      const std::vector<Real> truth = definition(c, {from, from + length});
      for (std::int64_t t = 0; t < kSteps; ++t) {
        const T value = found[row * kSteps + t];
        if (t >= length) {
          padding = padding && (value == from[t] || (value != value && from[t] != from[t]));
        } else if (known(truth[t]) || known(value)) {
          const Real difference = std::fabs(value - truth[t]);
          error = difference <= error ? error : difference;  // NaN stays
        }
      }
    }
    support::expect(padding, isa, support::bits<T>(c.name) + ", padding");
    // The arithmetic is double for both, rounded once.
    const Real unit = std::numeric_limits<T>::epsilon();
    support::expect(error <= 8 * unit, isa, support::bits<T>(c.name), error);
    if (first.size() == number) first.push_back(found);
    support::expect(same(found, first[number]), isa, support::bits<T>(c.name) + ", bits");
    ++number;
  }
}

}  // namespace

int main() {
  std::vector<std::vector<float>> singles;
  std::vector<std::vector<double>> doubles;
  return support::every_isa([&](const char* isa) {
    check(isa, tsssl::preprocess_kernels().f32, singles);
    check(isa, tsssl::preprocess_kernels().f64, doubles);
  });
}
