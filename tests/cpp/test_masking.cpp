// Masks, fills and the masked loss of every compiled instruction set: exact counts, the same bytes
// everywhere, values and gradients against plain loops in long double.
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "runtime/dispatch.h"
#include "runtime/isa.h"

namespace {

using Real = long double;
using Bytes = std::vector<std::uint8_t>;
using tsssl::Extent;
using tsssl::MaskCode;
using tsssl::MaskPlan;

constexpr tsssl::MaskSeed kSeed{7, 1, 2, 0, nullptr};
int failures = 0;

void expect(bool good, const char* isa, const char* what, double error = 0) {
  failures += good ? 0 : 1;
  std::printf("%s %-8s %s %.1e\n", good ? "ok  " : "FAIL", isa, what, error);
}

Bytes drawn(const MaskPlan& plan, Extent e, std::int64_t views, bool both, int threads) {
  Bytes out((views + (both ? 1 : 0)) * e.n * e.c * e.t, 9);
  tsssl::mask_kernel()(kSeed, plan, e, views, both, threads, out.data());
  return out;
}

// What one row has to be; `units` of `size` steps for points and patches.
bool row_follows(const MaskPlan& plan, const std::uint8_t* m, std::int64_t t) {
  std::int64_t hidden = 0, runs = 0;
  for (std::int64_t i = 0; i < t; ++i) {
    if (m[i] > 1) return false;
    hidden += m[i];
    runs += m[i] == 1 && (i == 0 || m[i - 1] == 0) ? 1 : 0;
  }
  if (plan.code == MaskCode::point) return hidden == plan.count;
  if (plan.code == MaskCode::geometric) return hidden == plan.count && runs == plan.runs;
  if (plan.code == MaskCode::span) return hidden == plan.count && runs <= plan.runs;
  std::int64_t patches = 0;
  for (std::int64_t i = 0; i < t; ++i) {
    if (i % plan.size != 0 && m[i] != m[i - 1]) return false;
    patches += i % plan.size == 0 ? m[i] : 0;
  }
  return patches == plan.count;
}

// The first instruction set's bytes are kept in `first`; the others' have to be the same.
void masks(const char* isa, std::vector<Bytes>& first) {
  const std::vector<std::pair<std::int64_t, MaskPlan>> cases = {
      {1, {MaskCode::point, 1, 1, 0}},          {37, {MaskCode::point, 18, 1, 0}},
      {37, {MaskCode::patch, 3, 8, 0}},         {131, {MaskCode::span, 65, 10, 7}},
      {37, {MaskCode::geometric, 18, 3, 6}},    {37, {MaskCode::geometric, 37, 3, 1}},
      {300, {MaskCode::geometric, 150, 3, 50}}, {700, {MaskCode::geometric, 600, 6, 100}}};
  for (std::size_t k = 0; k < cases.size(); ++k) {
    const auto& [t, plan] = cases[k];
    const Extent e{5, 3, t};
    const Bytes found = drawn(plan, e, 2, true, 1);
    bool good = true;
    const std::int64_t plane = e.n * e.c * t;
    for (std::int64_t row = 0; row < 2 * e.n * e.c; ++row) {
      good = good && row_follows(plan, found.data() + row * t, t);
    }
    for (std::int64_t i = 0; i < plane; ++i) {
      good = good && found[2 * plane + i] == (found[i] & found[plane + i]);
    }
    for (int threads : {2, 5}) good = good && drawn(plan, e, 2, true, threads) == found;
    if (first.size() == k) first.push_back(found);
    expect(good && found == first[k], isa, "mask");
  }
}

template <class T>
std::vector<T> normals(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<T> x(count);
  for (T& v : x) v = static_cast<T>(normal(generator));
  return x;
}

Real penalty(tsssl::PenaltyKind kind, Real d, Real delta) {
  const Real a = std::fabs(d);
  if (kind == tsssl::PenaltyKind::mse) return d * d;
  if (kind == tsssl::PenaltyKind::l1) return a;
  return a <= delta ? d * d / 2 : delta * (a - delta / 2);
}

Real slope(tsssl::PenaltyKind kind, Real d, Real delta) {
  const Real sign = d > 0 ? 1 : (d < 0 ? -1 : 0);
  if (kind == tsssl::PenaltyKind::mse) return 2 * d;
  if (kind == tsssl::PenaltyKind::l1) return sign;
  return std::fabs(d) <= delta ? d : sign * delta;
}

template <class T>
void losses(const char* isa, const tsssl::MaskedLossKernels<T>& kernels) {
  const Extent e{4, 3, 67};
  const std::size_t size = e.n * e.c * e.t;
  const auto pred = normals<T>(size, 1), target = normals<T>(size, 2);
  auto weight = normals<T>(size, 3);
  for (T& w : weight) w = std::fabs(w);
  const Bytes hidden = drawn({MaskCode::point, 30, 1, 0}, e, 1, false, 1);
  const tsssl::MaskView mask{hidden.data(), e.c * e.t, e.t, 1};
  const T upstream = T(0.5);
  for (auto kind : {tsssl::PenaltyKind::mse, tsssl::PenaltyKind::l1, tsssl::PenaltyKind::huber}) {
    Real total = 0, divisor = 0;
    for (std::size_t i = 0; i < size; ++i) {
      if (hidden[i] == 0) continue;
      total += weight[i] * penalty(kind, Real(pred[i]) - target[i], 0.7L);
      divisor += weight[i];
    }
    for (int threads : {1, 3}) {
      T value = 0;
      double saved[2];
      std::vector<T> by_pred(size, T(NAN)), by_weight(size, T(NAN));
      kernels.forward(pred.data(), target.data(), mask, weight.data(), e, kind, 0.7,
                      tsssl::Reduce::mean, threads, &value, saved);
      kernels.backward(&upstream, 1, saved, pred.data(), target.data(), mask, weight.data(), e,
                       kind, 0.7, threads, by_pred.data(), by_weight.data());
      Real error = std::fabs(value - total / divisor), largest = 0;
      for (std::size_t i = 0; i < size; ++i) {
        const Real d = Real(pred[i]) - target[i], scale = hidden[i] * upstream / divisor;
        const Real to_pred = scale * weight[i] * slope(kind, d, 0.7L);
        const Real to_weight = scale * (penalty(kind, d, 0.7L) - total / divisor);
        largest = std::fmax(largest, std::fmax(std::fabs(to_pred), std::fabs(to_weight)));
        for (Real difference : {by_pred[i] - to_pred, by_weight[i] - to_weight}) {
          error = std::fabs(difference) <= error ? error : std::fabs(difference);  // NaN stays
        }
      }
      const Real bound = 16 * std::numeric_limits<T>::epsilon() * (total / divisor + largest);
      expect(error <= bound, isa, sizeof(T) == 4 ? "loss, 32 bits" : "loss, 64 bits",
             static_cast<double>(error));
    }
  }
}

template <class T>
void fills(const char* isa, const tsssl::FillKernels<T>& kernels,
           std::vector<std::vector<T>>& first) {
  const Extent e{3, 2, 53};
  const std::size_t size = e.n * e.c * e.t;
  const auto x = normals<T>(size, 4);
  const T token[] = {T(3), T(-2)};
  const Bytes hidden = drawn({MaskCode::geometric, 26, 3, 9}, e, 1, false, 1);
  const tsssl::MaskView mask{hidden.data(), e.c * e.t, e.t, 1};
  for (int kind = 0; kind < 4; ++kind) {
    std::vector<T> out(size, T(NAN));
    kernels.forward(x.data(), mask, e, static_cast<tsssl::FillKind>(kind),
                    kind == 3 ? token : nullptr, kSeed, 0, 2, out.data());
    bool good = true;
    for (std::size_t row = 0; row < size / e.t; ++row) {
      Real mean = 0;
      for (std::int64_t i = 0; i < e.t; ++i) mean += hidden[row * e.t + i] ? 0 : x[row * e.t + i];
      mean /= e.t - 26;
      const Real expected[] = {0, mean, 0, Real(row % 2 == 0 ? 3 : -2)};
      for (std::size_t i = row * e.t; i < (row + 1) * e.t; ++i) {
        const bool same = std::fabs(out[i] - expected[kind]) <= 1e-6L;
        good = good && (hidden[i] ? same || (kind == 2 && std::isfinite(out[i])) : out[i] == x[i]);
      }
    }
    if (first.size() == static_cast<std::size_t>(kind)) first.push_back(out);
    expect(good && out == first[kind], isa, "fill");
  }
}

}  // namespace

int main() {
  std::vector<Bytes> bytes;
  std::vector<std::vector<float>> singles;
  std::vector<std::vector<double>> doubles;
  for (tsssl::Isa isa : tsssl::compiled_isas()) {
    const std::string name = tsssl::isa_name(isa);
    if (!tsssl::isa_supported(isa)) {
      std::printf("skip %s: this processor does not have it\n", name.c_str());
      continue;
    }
    tsssl::set_isa(name);
    masks(name.c_str(), bytes);
    losses(name.c_str(), tsssl::loss_kernels().f32);
    losses(name.c_str(), tsssl::loss_kernels().f64);
    fills(name.c_str(), tsssl::fill_kernels().f32, singles);
    fills(name.c_str(), tsssl::fill_kernels().f64, doubles);
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
