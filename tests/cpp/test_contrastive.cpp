// Every compiled instruction set against a plain loop in long double, without Python.
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

int failures = 0;

struct Batch {
  std::int64_t n, dim;
  Real temperature;
};

template <class T>
std::vector<T> random_rows(const Batch& batch, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<T> z(2 * batch.n * batch.dim);
  for (T& x : z) x = static_cast<T>(normal(generator));
  for (std::int64_t k = 0; k < batch.n * batch.dim; ++k) {
    z[batch.n * batch.dim + k] = z[k] + z[batch.n * batch.dim + k] / 2;
  }
  return z;
}

// Loss and gradient per row from the definition: P_ij - [j = p(i)] and its transpose.
template <class T>
void definition(const Batch& batch, const std::vector<T>& z, const std::vector<T>& upstream,
                std::vector<Real>& loss, std::vector<Real>& gradient) {
  const std::int64_t m = 2 * batch.n, dim = batch.dim;
  Rows u(m, std::vector<Real>(dim)), w(m, std::vector<Real>(m));
  std::vector<Real> norm(m);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t k = 0; k < dim; ++k) norm[i] += Real(z[i * dim + k]) * z[i * dim + k];
    norm[i] = std::sqrt(norm[i]);
    for (std::int64_t k = 0; k < dim; ++k) u[i][k] = z[i * dim + k] / norm[i];
  }
  for (std::int64_t i = 0; i < m; ++i) {
    const std::int64_t positive = (i + batch.n) % m;
    Real negatives = 0;
    for (std::int64_t j = 0; j < m; ++j) {
      Real a = 0;
      for (std::int64_t k = 0; k < dim; ++k) a += u[i][k] * u[j][k];
      w[i][j] = j == i ? 0 : std::exp(a / batch.temperature);
      if (j != positive) negatives += w[i][j];
    }
    // -log(P) and 1 - P without cancellation: at tau = 0.01 a loss is as small as 1e-20.
    loss[i] = std::log1p(negatives / w[i][positive]);
    const Real total = negatives + w[i][positive];
    for (Real& p : w[i]) p *= upstream[i] / total;
    w[i][positive] = -upstream[i] * (negatives / total);
  }
  for (std::int64_t i = 0; i < m; ++i) {
    std::vector<Real> du(dim);
    Real along = 0;
    for (std::int64_t k = 0; k < dim; ++k) {
      for (std::int64_t j = 0; j < m; ++j) du[k] += (w[i][j] + w[j][i]) * u[j][k];
      du[k] /= batch.temperature;
      along += du[k] * u[i][k];
    }
    for (std::int64_t k = 0; k < dim; ++k) {
      gradient[i * dim + k] = (du[k] - along * u[i][k]) / norm[i];
    }
  }
}

template <class T>
Real largest_error(const std::vector<T>& actual, const std::vector<Real>& truth) {
  Real error = 0, scale = 0;
  for (std::size_t k = 0; k < actual.size(); ++k) {
    const Real difference = std::fabs(actual[k] - truth[k]);
    error = difference <= error ? error : difference;  // NaN stays
    scale = std::fmax(scale, std::fabs(truth[k]));
  }
  return error / scale;
}

template <class T>
tsssl::PairProblem<T> two_views(const std::vector<T>& z, const Batch& batch,
                                tsssl::Precision precision = tsssl::Precision::ieee) {
  const std::int64_t n = batch.n, dim = batch.dim;
  tsssl::PairProblem<T> problem{};
  problem.q = {z.data(), z.data() + n * dim, dim, dim, n, n};
  problem.dim = dim;
  problem.beta = static_cast<double>(1 / batch.temperature);
  problem.normalize = true;
  problem.offset = n;
  problem.precision = precision;
  return problem;
}

// What the forward leaves; poisoned.
template <class T>
struct Saved {
  explicit Saved(std::int64_t m, bool keep)
      : m(m),
        values(8 * m, T(NAN)),
        kept(keep ? (m + tsssl::kKeptPadding) * (m + tsssl::kKeptPadding) : 0, T(NAN)) {}
  tsssl::NtXentRows<T> rows() {
    const auto row = [&](int i) { return values.data() + i * m; };
    T* exponentials = kept.empty() ? nullptr : kept.data();
    return {
        row(0), row(1), {row(2), row(3), row(4), row(5), row(6), row(7), nullptr, 0, exponentials}};
  }

  const std::int64_t m;
  std::vector<T> values, kept;
};

template <class T>
void nt_xent(const tsssl::NtXentKernels<T>& kernels, const std::vector<T>& z, const Batch& batch,
             int threads, bool keep, const std::vector<T>& upstream, std::vector<T>& loss,
             std::vector<T>& gradient, tsssl::Precision precision = tsssl::Precision::ieee) {
  Saved<T> saved(2 * batch.n, keep);
  const auto problem = two_views(z, batch, precision);
  kernels.forward(problem, tsssl::Reduction::none, threads, saved.rows(), {}, loss.data());
  kernels.backward(problem, tsssl::Reduction::none, threads, saved.rows(), {upstream.data(), 1},
                   gradient.data(), gradient.data() + batch.n * batch.dim);
}

// The gradient of the summed loss, from the forward.
template <class T>
void fused(const tsssl::NtXentKernels<T>& kernels, const std::vector<T>& z, const Batch& batch,
           int threads, std::vector<T>& gradient) {
  Saved<T> saved(2 * batch.n, true);
  T loss;
  kernels.forward(two_views(z, batch), tsssl::Reduction::sum, threads, saved.rows(),
                  {gradient.data(), gradient.data() + batch.n * batch.dim}, &loss);
}

template <class T>
void check(const char* isa, const tsssl::NtXentKernels<T>& kernels) {
  // Errors in the logits, of size 1 / tau, are what the result inherits.
  for (const Batch& batch : {Batch{2, 5, 0.5L}, Batch{17, 3, 0.1L}, Batch{61, 33, 0.1L},
                             Batch{130, 8, 0.05L}, Batch{40, 70, 0.01L}}) {
    const std::vector<T> z = random_rows<T>(batch, 1);
    const std::vector<T> upstream(2 * batch.n, T(0.5));
    std::vector<Real> loss(2 * batch.n), gradient(z.size());
    definition(batch, z, upstream, loss, gradient);
    std::vector<T> found(2 * batch.n), found_gradient(z.size(), T(NAN));
    for (int threads : {1, 2, 3}) {
      if (threads == 2) {
        fused(kernels, z, batch, threads, found_gradient);
        for (T& x : found_gradient) x *= T(0.5);
      } else {
        nt_xent(kernels, z, batch, threads, threads == 3, upstream, found, found_gradient);
      }
      const Real bound = 8 * Real(std::numeric_limits<T>::epsilon()) / batch.temperature;
      const Real errors[] = {largest_error(found, loss), largest_error(found_gradient, gradient)};
      const bool good = errors[0] <= bound && errors[1] <= bound;
      failures += good ? 0 : 1;
      std::printf("%s %-8s %zu bits %3dx%-3d tau %.2f threads %d: loss %.1e gradient %.1e (%.1e)\n",
                  good ? "ok  " : "FAIL", isa, 8 * sizeof(T), int(batch.n), int(batch.dim),
                  double(batch.temperature), threads, double(errors[0]), double(errors[1]),
                  double(bound));
    }
  }
}

// Lower precisions, where the instruction set has them at this size.
void check_rounded(const char* isa, const tsssl::NtXentKernels<float>& kernels) {
  const Batch batch{200, 130, 0.1L};
  const std::vector<float> z = random_rows<float>(batch, 1), upstream(2 * batch.n, 0.5f);
  std::vector<Real> loss(2 * batch.n), gradient(z.size());
  definition(batch, z, upstream, loss, gradient);
  for (auto precision : {tsssl::Precision::bf16x3, tsssl::Precision::bf16}) {
    const char* const products = kernels.products(two_views(z, batch, precision));
    if (std::string(products) == "ieee") continue;
    std::vector<float> found(2 * batch.n), found_gradient(z.size(), NAN);
    nt_xent(kernels, z, batch, 2, false, upstream, found, found_gradient, precision);
    const Real unit = precision == tsssl::Precision::bf16 ? 1 / 256.0L : 1 / 65536.0L;
    const Real errors[] = {largest_error(found, loss), largest_error(found_gradient, gradient)};
    const bool good = errors[0] <= 4 * unit && errors[1] <= 8 * unit;
    failures += good ? 0 : 1;
    std::printf("%s %-8s %s: loss %.1e gradient %.1e (%.1e)\n", good ? "ok  " : "FAIL", isa,
                products, double(errors[0]), double(errors[1]), double(unit));
  }
}

}  // namespace

int main() {
  std::vector<const tsssl::ByDtype<tsssl::NtXentKernels>*> tables;
  for (tsssl::Isa isa : tsssl::compiled_isas()) {
    const std::string name = tsssl::isa_name(isa);
    if (!tsssl::isa_supported(isa)) {
      std::printf("skip %s: this processor does not have it\n", name.c_str());
      continue;
    }
    tsssl::set_isa(name);
    const auto& kernels = tsssl::nt_xent_kernels();
    for (const auto* other : tables) {
      if (other == &kernels) {
        std::printf("FAIL %s runs the kernels of another instruction set\n", name.c_str());
        ++failures;
      }
    }
    tables.push_back(&kernels);
    check(name.c_str(), kernels.f32);
    check(name.c_str(), kernels.f64);
    check_rounded(name.c_str(), kernels.f32);
  }
  tsssl::set_isa("");
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
