#include "tsssl/masking.h"

#include <pybind11/stl.h>

#include <array>
#include <string>

#include "bindings/arguments.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Address = std::uintptr_t;
using Shape = std::array<std::int64_t, 3>;
using Plan = std::array<std::int64_t, 4>;  // code, count, size, runs

Extent extent(const Shape& s) { return {s[0], s[1], s[2]}; }

MaskView view(Address data, const Shape& stride) {
  return {pointer<const std::uint8_t>(data), stride[0], stride[1], stride[2]};
}

MaskSeed source(Address seed, Address ids) {
  const auto* s = pointer<const std::int64_t>(seed);
  MaskSeed made{0, 0, 0, 0, pointer<const std::int64_t>(ids)};
  if (s != nullptr) made = {s[0], s[1], s[2], s[3], made.sample_ids};
  return made;
}

template <class T>
void bind(py::module_& module, const char* suffix) {
  const auto name = [suffix](const char* op) { return std::string(op) + "_" + suffix; };
  module.def(name("mask_fill").c_str(), [](Address x, Address mask, Shape stride, Shape shape,
                                           int kind, Address token, Address seed, Address ids,
                                           std::int64_t number, int threads, Address out) {
    const MaskSeed drawn = source(seed, ids);
    py::gil_scoped_release release;
    fill_kernels().of(T()).forward(pointer<const T>(x), view(mask, stride), extent(shape),
                                   static_cast<FillKind>(kind), pointer<const T>(token), drawn,
                                   number, threads, pointer<T>(out));
  });
  module.def(
      name("mask_fill_backward").c_str(), [](Address grad, Address mask, Shape stride, Shape shape,
                                             int threads, Address grad_x, Address grad_token) {
        py::gil_scoped_release release;
        fill_kernels().of(T()).backward(pointer<const T>(grad), view(mask, stride), extent(shape),
                                        threads, pointer<T>(grad_x), pointer<T>(grad_token));
      });
  module.def(
      name("masked_loss").c_str(),
      [](Address pred, Address target, Address mask, Shape stride, Address weight, Shape shape,
         int kind, double delta, int reduce, int threads, Address value, Address saved) {
        py::gil_scoped_release release;
        loss_kernels().of(T()).forward(
            pointer<const T>(pred), pointer<const T>(target), view(mask, stride),
            pointer<const T>(weight), extent(shape), static_cast<PenaltyKind>(kind), delta,
            static_cast<Reduce>(reduce), threads, pointer<T>(value), pointer<double>(saved));
      });
  module.def(name("masked_loss_backward").c_str(),
             [](Address grad, std::int64_t rows, Address saved, Address pred, Address target,
                Address mask, Shape stride, Address weight, Shape shape, int kind, double delta,
                int threads, Address grad_pred, Address grad_weight) {
               py::gil_scoped_release release;
               loss_kernels().of(T()).backward(
                   pointer<const T>(grad), rows, pointer<const double>(saved),
                   pointer<const T>(pred), pointer<const T>(target), view(mask, stride),
                   pointer<const T>(weight), extent(shape), static_cast<PenaltyKind>(kind), delta,
                   threads, pointer<T>(grad_pred), pointer<T>(grad_weight));
             });
  module.def(name("token_gradient").c_str(), [](Address grad, Address keep, Shape shape,
                                                std::int64_t k, int threads, Address out) {
    py::gil_scoped_release release;
    tokens_kernels().gradient.of(T())(pointer<const T>(grad), pointer<const std::int64_t>(keep),
                                      extent(shape), k, threads, pointer<T>(out));
  });
}

}  // namespace

void bind_masking(py::module_& module) {
  module.def("mask", [](Address seed, Address ids, Plan plan, Shape shape, std::int64_t views,
                        bool intersection, int threads, Address out) {
    const MaskSeed drawn = source(seed, ids);
    py::gil_scoped_release release;
    mask_kernel()(drawn, {static_cast<MaskCode>(plan[0]), plan[1], plan[2], plan[3]}, extent(shape),
                  views, intersection, threads, pointer<std::uint8_t>(out));
  });
  module.def("gather_tokens", [](Address x, Address keep, std::int64_t n, std::int64_t l,
                                 std::int64_t k, std::int64_t bytes, int threads, Address out) {
    py::gil_scoped_release release;
    tokens_kernels().gather(pointer<const char>(x), pointer<const std::int64_t>(keep), n, l, k,
                            bytes, threads, pointer<char>(out));
  });
  module.def("restore_tokens", [](Address visible, Address keep, std::int64_t n, std::int64_t l,
                                  std::int64_t k, std::int64_t bytes, Address token, int threads,
                                  Address out) {
    py::gil_scoped_release release;
    tokens_kernels().restore(pointer<const char>(visible), pointer<const std::int64_t>(keep), n, l,
                             k, bytes, pointer<const char>(token), threads, pointer<char>(out));
  });
  bind<float>(module, "f32");
  bind<double>(module, "f64");
}

}  // namespace tsssl
