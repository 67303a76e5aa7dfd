#include "tsssl/decorrelation.h"

#include <pybind11/stl.h>

#include "bindings/arguments.h"
#include "bindings/kernel_scope.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Addresses = std::vector<Address>;
using Strides = std::vector<Index>;

template <class T>
Views<T> views_of(const Addresses& z, const Strides& strides, Index n, Index dim, bool gram,
                  int bits, int precision) {
  return {reinterpret_cast<const T* const*>(z.data()),
          strides.data(),
          static_cast<int>(z.size()),
          n,
          dim,
          gram,
          bits,
          static_cast<Precision>(precision)};
}

// What the operators differ in: their kernels, and what they save.
struct Vicreg {
  using Options = VicregOptions;
  static const ByInput<VicregKernels>& kernels() { return vicreg_kernels(); }
  template <class T>
  static Index moments(const Views<T>& views) {
    return vicreg_moments(views.count, views.dim);
  }
  static Index matrices(const Options& options, Index views) {
    return options.covariance.computed ? views : 0;
  }
};

struct BarlowTwins {
  using Options = BarlowOptions;
  static const ByInput<BarlowKernels>& kernels() { return barlow_twins_kernels(); }
  template <class T>
  static Index moments(const Views<T>& views) {
    return barlow_moments(views.dim);
  }
  static Index matrices(const Options&, Index) { return 2; }
};

template <class Operator, class In>
void bind(py::module_& module, const std::string& name, const std::string& suffix) {
  using Options = typename Operator::Options;
  using T = Computed<In>;
  const auto square_size = [](const Options& options, const Views<In>& views) {
    const Index side = views.gram ? views.n : views.dim;
    return Operator::matrices(options, views.count) * side * side;
  };
  module.def((name + "_forward_" + suffix).c_str(),
             [square_size](const Addresses& z, const Strides& strides, Index n, Index dim,
                           bool gram, int bits, int precision, const Options& options, int threads,
                           const Buffer<T>& loss, const Buffer<T>& terms,
                           const Buffer<double>& moments, const Buffer<T>& square) {
               const Views<In> views = views_of<In>(z, strides, n, dim, gram, bits, precision);
               const TermValues<T> values{loss.holding("loss", 1),
                                          terms.holding("terms", Options::kTerms)};
               double* const sums = moments.holding("moments", Operator::moments(views));
               T* const matrices = square.holding("square", square_size(options, views));
               const KernelScope scope;
               Operator::kernels().of(In()).forward(views, options, threads, values, sums,
                                                    matrices);
             },
             py::arg("z"), py::arg("strides"), py::arg("n"), py::arg("dim"), py::arg("gram"),
             py::arg("bits"), py::arg("precision"), py::arg("options"), py::arg("threads"),
             py::arg("loss"), py::arg("terms"), py::arg("moments"), py::arg("square"));
  module.def((name + "_backward_" + suffix).c_str(),
             [square_size](const Addresses& z, const Strides& strides, Index n, Index dim,
                           bool gram, int bits, int precision, const Options& options, int threads,
                           const Buffer<const T>& grad_loss, const Buffer<const T>& grad_terms,
                           const Buffer<const double>& moments, const Buffer<const T>& square,
                           const std::vector<Buffer<In>>& gradients) {
               const Views<In> views = views_of<In>(z, strides, n, dim, gram, bits, precision);
               const TermGradients<T> upstream{
                   grad_loss.holding_if_any("grad_loss", 1),
                   grad_terms.holding_if_any("grad_terms", Options::kTerms)};
               const double* const sums = moments.holding("moments", Operator::moments(views));
               const T* const matrices = square.holding("square", square_size(options, views));
               std::vector<In*> out;
               for (const Buffer<In>& gradient : gradients) {
                 out.push_back(gradient.holding("gradients", n * dim));
               }
               const KernelScope scope;
               Operator::kernels().of(In()).backward(views, options, upstream, threads, sums,
                                                     matrices, out.data());
             },
             py::arg("z"), py::arg("strides"), py::arg("n"), py::arg("dim"), py::arg("gram"),
             py::arg("bits"), py::arg("precision"), py::arg("options"), py::arg("threads"),
             py::arg("grad_loss"), py::arg("grad_terms"), py::arg("moments"), py::arg("square"),
             py::arg("gradients"));
}

void bind_options(py::module_& module) {
  py::class_<Term>(module, "Term")
      .def(py::init([](double factor, double weight) { return Term{factor, weight}; }),
           py::kw_only(), py::arg("factor"), py::arg("weight"));
  py::class_<VicregTerm>(module, "VicregTerm")
      .def(py::init([](double factor, double weight, bool computed) {
             return VicregTerm{{factor, weight}, computed};
           }),
           py::kw_only(), py::arg("factor"), py::arg("weight"), py::arg("computed"));
  py::class_<VicregOptions>(module, "VicregOptions")
      .def(py::init([](const VicregTerm& invariance, const VicregTerm& variance,
                       const VicregTerm& covariance, double gamma, double eps, double norm_eps,
                       bool correlation) {
             return VicregOptions{invariance, variance, covariance, gamma,
                                  eps,        norm_eps, correlation};
           }),
           py::kw_only(), py::arg("invariance"), py::arg("variance"), py::arg("covariance"),
           py::arg("gamma"), py::arg("eps"), py::arg("norm_eps"), py::arg("correlation"));
  py::class_<BarlowOptions>(module, "BarlowOptions")
      .def(py::init([](const Term& on, const Term& off, double eps, bool center, bool unbiased) {
             return BarlowOptions{on, off, eps, center, unbiased};
           }),
           py::kw_only(), py::arg("on"), py::arg("off"), py::arg("eps"), py::arg("center"),
           py::arg("unbiased"));
}

}  // namespace

void bind_decorrelation(py::module_& module) {
  bind_options(module);
  bind<Vicreg, Bfloat16>(module, "vicreg", "bf16");
  bind<Vicreg, float>(module, "vicreg", "f32");
  bind<Vicreg, double>(module, "vicreg", "f64");
  bind<BarlowTwins, Bfloat16>(module, "barlow", "bf16");
  bind<BarlowTwins, float>(module, "barlow", "f32");
  bind<BarlowTwins, double>(module, "barlow", "f64");
}

}  // namespace tsssl
