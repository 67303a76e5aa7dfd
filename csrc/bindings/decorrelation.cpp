#include <pybind11/stl.h>

#include "bindings/arguments.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Address = std::uintptr_t;
using Addresses = std::vector<Address>;
using Strides = std::vector<std::int64_t>;

template <class T>
Views<T> views(const Addresses& z, const Strides& strides, std::int64_t n, std::int64_t dim,
               bool gram) {
  return {reinterpret_cast<const T* const*>(z.data()),
          strides.data(),
          static_cast<int>(z.size()),
          n,
          dim,
          gram};
}

// settings, in Python's order: a factor for each raw sum, a weight for each term, then the kernel's
// own numbers (tsssl_fast/ops/decorrelation/spec.py). term = factor * sum, loss = sum of weight *
// term; a weight of 0 switches its term off, whatever its value.
using Settings = std::vector<double>;

template <class T, std::size_t kTerms>
void finish(const Settings& settings, const double (&sums)[kTerms], T* loss, T* terms) {
  double total = 0;
  for (std::size_t k = 0; k < kTerms; ++k) {
    const double term = settings[k] * sums[k], weight = settings[kTerms + k];
    terms[k] = static_cast<T>(term);
    if (weight != 0) total += weight * term;
  }
  *loss = static_cast<T>(total);
}

// Derivatives of what follows in each raw sum; null where a gradient is absent.
template <class T, std::size_t kTerms>
void start(const Settings& settings, const T* grad_loss, const T* grad_terms,
           double (&upstream)[kTerms]) {
  for (std::size_t k = 0; k < kTerms; ++k) {
    const double weight = settings[kTerms + k];
    double outer = 0;
    if (grad_loss != nullptr && weight != 0) outer = double(*grad_loss) * weight;
    upstream[k] = settings[k] * (outer + (grad_terms == nullptr ? 0 : double(grad_terms[k])));
  }
}

// What the families differ in: the kernel's own numbers and flags, its raw sums among the moments.
struct VicregForm {
  static constexpr std::size_t kTerms = 3;
  static const ByDtype<VicregKernels>& kernels() { return vicreg_kernels(); }
  static VicregOptions options(const Settings& settings, int flags) {
    constexpr int kCorrelation = 8;
    return {settings.at(6), settings.at(7), (flags & kCorrelation) != 0, flags};
  }
  static void sums(const double* moments, std::size_t views, double (&out)[kTerms]) {
    out[0] = moments[0];
    out[1] = out[2] = 0;
    for (std::size_t v = 0; v < views; ++v) out[1] += moments[1 + v];
    for (std::size_t v = 0; v < views; ++v) out[2] += moments[1 + views + v];
  }
};

struct BarlowForm {
  static constexpr std::size_t kTerms = 2;
  static const ByDtype<BarlowKernels>& kernels() { return barlow_twins_kernels(); }
  static BarlowOptions options(const Settings& settings, int flags) {
    constexpr int kCenter = 1, kUnbiased = 2;
    return {settings.at(4), (flags & kCenter) != 0, (flags & kUnbiased) != 0};
  }
  static void sums(const double* moments, std::size_t, double (&out)[kTerms]) {
    out[0] = moments[0];
    out[1] = moments[1];
  }
};

template <class Form, class T>
void bind(py::module_& module, const std::string& name, const std::string& suffix) {
  module.def((name + "_forward_" + suffix).c_str(),
             [](const Addresses& z, const Strides& strides, std::int64_t n, std::int64_t dim,
                bool gram, const Settings& settings, int flags, int threads, Address loss,
                Address terms, Address moments, Address square) {
               py::gil_scoped_release release;
               const auto options = Form::options(settings, flags);
               Form::kernels().of(T()).forward(views<T>(z, strides, n, dim, gram), options, threads,
                                               pointer<double>(moments), pointer<T>(square));
               double sums[Form::kTerms];
               Form::sums(pointer<const double>(moments), z.size(), sums);
               finish(settings, sums, pointer<T>(loss), pointer<T>(terms));
             });
  module.def((name + "_backward_" + suffix).c_str(),
             [](const Addresses& z, const Strides& strides, std::int64_t n, std::int64_t dim,
                bool gram, const Settings& settings, int flags, int threads, Address grad_loss,
                Address grad_terms, Address moments, Address square, const Addresses& gradients) {
               py::gil_scoped_release release;
               const auto options = Form::options(settings, flags);
               double upstream[Form::kTerms];
               start(settings, pointer<const T>(grad_loss), pointer<const T>(grad_terms), upstream);
               Form::kernels().of(T()).backward(views<T>(z, strides, n, dim, gram), options,
                                                upstream, threads, pointer<const double>(moments),
                                                pointer<const T>(square),
                                                reinterpret_cast<T* const*>(gradients.data()));
             });
}

}  // namespace

void bind_decorrelation(py::module_& module) {
  bind<VicregForm, float>(module, "vicreg", "f32");
  bind<VicregForm, double>(module, "vicreg", "f64");
  bind<BarlowForm, float>(module, "barlow", "f32");
  bind<BarlowForm, double>(module, "barlow", "f64");
}

}  // namespace tsssl
