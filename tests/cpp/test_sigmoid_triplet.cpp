// Sigmoid and triplet loss of every compiled instruction set against plain loops in long double.
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
using Rows = std::vector<std::vector<Real>>;

constexpr int kClasses = 4;
int failures = 0;

template <class T>
std::vector<T> random_rows(std::int64_t rows, std::int64_t dim, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<T> z(rows * dim);
  for (T& x : z) x = static_cast<T>(normal(generator));
  return z;
}

template <class T>
Rows unit_rows(const std::vector<T>& z, std::int64_t dim, std::vector<Real>& norm) {
  Rows u(z.size() / dim, std::vector<Real>(dim));
  norm.assign(u.size(), 0);
  for (std::size_t i = 0; i < u.size(); ++i) {
    for (std::int64_t k = 0; k < dim; ++k) norm[i] += Real(z[i * dim + k]) * z[i * dim + k];
    norm[i] = std::sqrt(norm[i]);
    for (std::int64_t k = 0; k < dim; ++k) u[i][k] = z[i * dim + k] / norm[i];
  }
  return u;
}

Real dot(const std::vector<Real>& a, const std::vector<Real>& b) {
  Real total = 0;
  for (std::size_t k = 0; k < a.size(); ++k) total += a[k] * b[k];
  return total;
}

// dz of side u for dL/ds = w (rows of u by rows of v).
std::vector<Real> through_norm(const Rows& u, const Rows& v, const std::vector<Real>& norm,
                               const Rows& w, bool transposed) {
  std::vector<Real> out;
  for (std::size_t i = 0; i < u.size(); ++i) {
    std::vector<Real> du(u[i].size());
    for (std::size_t j = 0; j < v.size(); ++j) {
      for (std::size_t k = 0; k < du.size(); ++k) {
        du[k] += (transposed ? w[j][i] : w[i][j]) * v[j][k];
      }
    }
    const Real along = dot(du, u[i]);
    for (std::size_t k = 0; k < du.size(); ++k) out.push_back((du[k] - along * u[i][k]) / norm[i]);
  }
  return out;
}

template <class T>
Real largest_error(const std::vector<T>& actual, const std::vector<Real>& truth) {
  Real error = 0, scale = 0;
  for (std::size_t k = 0; k < truth.size(); ++k) {
    const Real difference = std::fabs(actual[k] - truth[k]);
    error = difference <= error ? error : difference;  // NaN stays
    scale = std::fmax(scale, std::fabs(truth[k]));
  }
  return error / scale;
}

void report(const char* isa, const char* what, int bits, int rows, Real error, Real bound) {
  failures += error <= bound ? 0 : 1;
  std::printf("%s %-8s %d bits %s of %d rows: %.1e (%.1e)\n", error <= bound ? "ok  " : "FAIL", isa,
              bits, what, rows, double(error), double(bound));
}

template <class T>
tsssl::RowPieces<T> pieces(const std::vector<T>& z, std::int64_t dim) {
  return {z.data(), nullptr, dim, 0, std::int64_t(z.size()) / dim, 0};
}

template <class T>
void check_sigmoid(const char* isa, const tsssl::SigmoidKernels<T>& kernels, std::int64_t m,
                   std::int64_t p, std::int64_t dim) {
  const double scale = 7, bias = -2;
  const std::vector<T> q = random_rows<T>(m, dim, 1), k = random_rows<T>(p, dim, 2);
  std::vector<Real> q_norm, k_norm, loss(m), slopes(2);
  const Rows u = unit_rows(q, dim, q_norm), v = unit_rows(k, dim, k_norm);
  Rows w(m, std::vector<Real>(p));
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < p; ++j) {
      const Real s = dot(u[i], v[j]), y = i == j ? 1 : -1, x = -y * (scale * s + bias);
      loss[i] += std::log1p(std::exp(x));
      const Real slope = -y * (i + 1) / (1 + std::exp(-x));
      w[i][j] = scale * slope;
      slopes[0] += slope * s;
      slopes[1] += slope;
    }
  }
  tsssl::PairProblem<T> problem{};
  problem.q = pieces(q, dim);
  problem.k = pieces(k, dim);
  problem.dim = dim;
  problem.beta = scale;
  problem.normalize = true;
  std::vector<T> q_scale(m), k_scale(p), found(m), upstream(m), dq(q.size()), dk(k.size());
  for (std::int64_t i = 0; i < m; ++i) upstream[i] = T(i + 1);
  const Real unit = std::numeric_limits<T>::epsilon(), bound = 16 * scale * unit;
  const int bits = 8 * sizeof(T);
  for (int threads : {1, 3}) {
    std::vector<double> found_slopes(2);
    kernels.forward(problem, bias, threads, q_scale.data(), k_scale.data(), found.data());
    kernels.backward(problem, bias, threads, q_scale.data(), k_scale.data(), upstream.data(),
                     dq.data(), dk.data(), found_slopes.data());
    report(isa, "sigmoid loss", bits, int(m), largest_error(found, loss), bound);
    report(isa, "sigmoid dq", bits, int(m), largest_error(dq, through_norm(u, v, q_norm, w, false)),
           bound);
    report(isa, "sigmoid dk", bits, int(m), largest_error(dk, through_norm(v, u, k_norm, w, true)),
           bound);
    report(isa, "sigmoid slopes", bits, int(m), largest_error(found_slopes, slopes), bound);
  }
}

template <class T>
void check_triplet(const char* isa, const tsssl::TripletKernels<T>& kernels, std::int64_t m,
                   std::int64_t dim) {
  const double margin = 0.3;
  const std::vector<T> z = random_rows<T>(m, dim, 3);
  std::vector<Real> norm, loss(m);
  const Rows u = unit_rows(z, dim, norm);
  Rows w(m, std::vector<Real>(m));
  std::vector<std::int32_t> id(m);
  for (std::int64_t i = 0; i < m; ++i) id[i] = std::int32_t(i % kClasses);
  for (std::int64_t i = 0; i < m; ++i) {
    std::int64_t nearest = -1, count = 0;
    for (std::int64_t j = 0; j < m; ++j) {
      if (id[j] != id[i] && (nearest < 0 || dot(u[i], u[j]) > dot(u[i], u[nearest]))) nearest = j;
      count += j != i && id[j] == id[i] ? 1 : 0;
    }
    for (std::int64_t j = 0; j < m; ++j) {
      if (nearest < 0 || j == i || id[j] != id[i]) continue;
      const Real gap = margin + dot(u[i], u[nearest]) - dot(u[i], u[j]);
      if (gap <= 0) continue;
      loss[i] += gap / count;
      w[i][j] -= Real(1) / count;
      w[i][nearest] += Real(1) / count;
    }
  }
  Rows both(m, std::vector<Real>(m));
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < m; ++j) both[i][j] = w[i][j] + w[j][i];
  }
  tsssl::PairProblem<T> problem{};
  problem.q = pieces(z, dim);
  problem.dim = dim;
  problem.normalize = true;
  problem.q_id = problem.k_id = id.data();
  std::vector<T> scale(m), hardest(m), count(m), active(m), found(m), upstream(m, T(1)),
      gradient(z.size());
  std::vector<std::int32_t> nearest(m);
  const tsssl::TripletRows<T> rows{hardest.data(), count.data(), active.data(), nearest.data()};
  const Real bound = 16 * Real(std::numeric_limits<T>::epsilon());
  for (int threads : {1, 3}) {
    kernels.forward(problem, margin, threads, scale.data(), rows, found.data());
    kernels.backward(problem, margin, threads, scale.data(), rows, upstream.data(),
                     gradient.data());
    report(isa, "triplet loss", 8 * sizeof(T), int(m), largest_error(found, loss), bound);
    report(isa, "triplet gradient", 8 * sizeof(T), int(m),
           largest_error(gradient, through_norm(u, u, norm, both, false)), bound);
  }
}

template <class T>
void check(const char* isa, const tsssl::SigmoidKernels<T>& sigmoid,
           const tsssl::TripletKernels<T>& triplet) {
  check_sigmoid(isa, sigmoid, 5, 5, 3);
  check_sigmoid(isa, sigmoid, 61, 130, 17);
  check_sigmoid(isa, sigmoid, 300, 260, 9);
  check_triplet(isa, triplet, 9, 5);
  check_triplet(isa, triplet, 261, 17);
}

}  // namespace

int main() {
  for (tsssl::Isa isa : tsssl::compiled_isas()) {
    const std::string name = tsssl::isa_name(isa);
    if (!tsssl::isa_supported(isa)) {
      std::printf("skip %s: this processor does not have it\n", name.c_str());
      continue;
    }
    tsssl::set_isa(name);
    check(name.c_str(), tsssl::sigmoid_kernels().f32, tsssl::triplet_kernels().f32);
    check(name.c_str(), tsssl::sigmoid_kernels().f64, tsssl::triplet_kernels().f64);
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
