// VICReg and Barlow Twins of every compiled instruction set against their definitions in long
// double, gradients against central differences of those.
#include "support.h"

namespace {

using support::Real;
using Matrix = std::vector<Real>;  // (n, dim), row-major

struct Size {
  std::int64_t n, dim;
};

struct Moments {
  Matrix x;  // centred
  std::vector<Real> squares;
};

Moments moments(const Matrix& z, const Size& s) {
  Moments m{z, std::vector<Real>(s.dim)};
  for (std::int64_t c = 0; c < s.dim; ++c) {
    Real mean = 0;
    for (std::int64_t i = 0; i < s.n; ++i) mean += z[i * s.dim + c] / s.n;
    for (std::int64_t i = 0; i < s.n; ++i) {
      Real& x = m.x[i * s.dim + c];
      x -= mean;
      m.squares[c] += x * x;
    }
  }
  return m;
}

Real product(const Matrix& a, const Matrix& b, const Size& s, std::int64_t i, std::int64_t j) {
  Real total = 0;
  for (std::int64_t k = 0; k < s.n; ++k) total += a[k * s.dim + i] * b[k * s.dim + j];
  return total;
}

const tsssl::VicregOptions kVicreg{
    {{0.5, 25}, true}, {{0.25, 20}, true}, {{2, 1.5}, true}, 1.0, 1e-4, 1e-12, false};

Real vicreg(const Matrix& z, const Size& s) {
  const std::size_t size = s.n * s.dim;
  const Matrix views[] = {{z.begin(), z.begin() + size}, {z.begin() + size, z.end()}};
  Real pairs = 0, hinge = 0, off = 0;
  for (std::size_t k = 0; k < size; ++k) {
    pairs += (views[0][k] - views[1][k]) * (views[0][k] - views[1][k]);
  }
  for (const Matrix& view : views) {
    const Moments m = moments(view, s);
    for (std::int64_t i = 0; i < s.dim; ++i) {
      hinge += std::fmax(0, kVicreg.gamma - std::sqrt(m.squares[i] / (s.n - 1) + kVicreg.eps));
      for (std::int64_t j = 0; j < s.dim; ++j) {
        const Real c = product(m.x, m.x, s, i, j) / (s.n - 1);
        if (i != j) off += c * c;
      }
    }
  }
  const auto term = [](const tsssl::Term& t, Real sum) { return t.weight * t.factor * sum; };
  return term(kVicreg.invariance, pairs) + term(kVicreg.variance, hinge) +
         term(kVicreg.covariance, off);
}

const tsssl::BarlowOptions kBarlow{{1, 1}, {1, 0.5}, 1e-5, true, false};

Real barlow(const Matrix& z, const Size& s) {
  const std::size_t size = s.n * s.dim;
  const Moments a = moments({z.begin(), z.begin() + size}, s);
  const Moments b = moments({z.begin() + size, z.end()}, s);
  const auto scale = [&](const Moments& m, std::int64_t c) {
    return 1 / std::sqrt(m.squares[c] / s.n + kBarlow.eps);
  };
  Real on = 0, off = 0;
  for (std::int64_t i = 0; i < s.dim; ++i) {
    for (std::int64_t j = 0; j < s.dim; ++j) {
      const Real c = product(a.x, b.x, s, i, j) * scale(a, i) * scale(b, j) / s.n;
      i == j ? on += (1 - c) * (1 - c) : off += c * c;
    }
  }
  return kBarlow.on.weight * kBarlow.on.factor * on + kBarlow.off.weight * kBarlow.off.factor * off;
}

template <class F>
std::vector<Real> central_differences(const F& f, Matrix z) {
  const Real step = 1e-5L;
  std::vector<Real> gradient(z.size());
  for (std::size_t k = 0; k < z.size(); ++k) {
    const Real at = z[k];
    z[k] = at + step;
    const Real above = f(z);
    z[k] = at - step;
    gradient[k] = (above - f(z)) / (2 * step);
    z[k] = at;
  }
  return gradient;
}

template <class T, class Kernels, class Options, class F>
void check(const char* isa, const char* what, const Kernels& kernels, const Options& options,
           const Size& s, bool gram, std::int64_t moment_count, const F& definition) {
  const std::size_t size = s.n * s.dim;
  const std::vector<T> z = support::normals<T>(2 * size, 1);
  const Matrix exact(z.begin(), z.end());
  const std::vector<Real> loss{definition(exact, s)};
  const std::vector<Real> gradient =
      central_differences([&](const Matrix& x) { return definition(x, s); }, exact);
  const T* const views[] = {z.data(), z.data() + size};
  const std::int64_t strides[] = {s.dim, s.dim}, side = gram ? s.n : s.dim;
  const tsssl::Views<T> problem{views, strides, 2, s.n, s.dim, gram};
  const T upstream = 1;
  std::vector<T> first;
  for (int threads : {1, 3}) {
    std::vector<T> found(1, T(NAN)), terms(Options::kTerms, T(NAN)), matrices(2 * side * side),
        gradients(2 * size, T(NAN));
    std::vector<double> saved(moment_count, NAN);
    kernels.forward(problem, options, threads, {found.data(), terms.data()}, saved.data(),
                    matrices.data());
    T* const out[] = {gradients.data(), gradients.data() + size};
    kernels.backward(problem, options, {&upstream, nullptr}, threads, saved.data(), matrices.data(),
                     out);
    const Real unit = std::numeric_limits<T>::epsilon();
    const Real of_loss = support::largest_error(found, loss);
    // The differences themselves are off by up to 1e-9.
    const Real of_gradient = support::largest_error(gradients, gradient);
    const std::string name = support::bits<T>(what) + (gram ? ", n x n" : ", d x d");
    support::expect(of_loss <= 64 * unit, isa, name + " loss", of_loss);
    support::expect(of_gradient <= 256 * unit + 1e-8L, isa, name + " gradient", of_gradient);
    gradients.insert(gradients.end(), found.begin(), found.end());
    if (first.empty()) first = gradients;
    support::expect(gradients == first, isa, name + " whatever the number of threads");
  }
}

template <class T>
void checks(const char* isa, const tsssl::VicregKernels<T>& vicreg_kernels,
            const tsssl::BarlowKernels<T>& barlow_kernels) {
  for (const Size& s : {Size{3, 2}, Size{5, 4}, Size{7, 19}, Size{40, 6}}) {
    for (bool gram : {false, true}) {
      check<T>(isa, "vicreg", vicreg_kernels, kVicreg, s, gram, tsssl::vicreg_moments(2, s.dim),
               vicreg);
      check<T>(isa, "barlow_twins", barlow_kernels, kBarlow, s, gram, tsssl::barlow_moments(s.dim),
               barlow);
    }
  }
}

}  // namespace

int main() {
  return support::every_isa([](const char* isa) {
    checks(isa, tsssl::vicreg_kernels().f32, tsssl::barlow_twins_kernels().f32);
    checks(isa, tsssl::vicreg_kernels().f64, tsssl::barlow_twins_kernels().f64);
  });
}
