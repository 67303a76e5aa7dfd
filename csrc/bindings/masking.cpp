#include "tsssl/masking.h"

#include <pybind11/stl.h>

#include <array>
#include <optional>

#include "bindings/arguments.h"
#include "bindings/kernel_scope.h"
#include "runtime/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Shape = std::array<Index, 3>;
using Seed = std::array<Index, 4>;  // seed, epoch, step, rank
using Bytes = Buffer<const char>;
using Integers = Buffer<const Index>;

Extent extent(const Shape& s) { return {s[0], s[1], s[2]}; }
Index size_of(const Shape& s) { return s[0] * s[1] * s[2]; }

MaskView view(Address data, const Shape& stride) {
  return {pointer<const std::uint8_t>(data), stride[0], stride[1], stride[2]};
}

MaskSeed source(const Seed& s, const Integers& ids, Index n) {
  return {s[0], s[1], s[2], s[3], ids.holding_if_any("sample_ids", n)};
}

template <class T>
void bind_fill(py::module_& module, const std::string& suffix) {
  module.def(("mask_fill_" + suffix).c_str(),
             [](const Buffer<const T>& x, Address mask, Shape stride, Shape shape, int kind,
                const Buffer<const T>& token, const std::optional<Seed>& seed,
                const Integers& sample_ids, Index number, int threads, const Buffer<T>& out) {
               const MaskSeed drawn = source(seed.value_or(Seed{}), sample_ids, shape[0]);
               const T* const from = x.holding("x", size_of(shape));
               const auto how = static_cast<FillKind>(kind);
               const T* const value = how == FillKind::token
                                          ? token.holding("token", shape[1])
                                          : token.holding_if_any("token", shape[1]);
               T* const to = out.holding("out", size_of(shape));
               const KernelScope scope;
               fill_kernels().of(T()).forward(from, view(mask, stride), extent(shape), how, value,
                                              drawn, number, threads, to);
             },
             py::arg("x"), py::arg("mask"), py::arg("stride"), py::arg("shape"), py::arg("kind"),
             py::arg("token"), py::arg("seed"), py::arg("sample_ids"), py::arg("view"),
             py::arg("threads"), py::arg("out"));
  module.def(("mask_fill_backward_" + suffix).c_str(),
             [](const Buffer<const T>& grad, Address mask, Shape stride, Shape shape, int threads,
                const Buffer<T>& grad_x, const Buffer<T>& grad_token) {
               const T* const from = grad.holding("grad", size_of(shape));
               T* const to = grad_x.holding("grad_x", size_of(shape));
               T* const token = grad_token.holding_if_any("grad_token", shape[1]);
               const KernelScope scope;
               fill_kernels().of(T()).backward(from, view(mask, stride), extent(shape), threads, to,
                                               token);
             },
             py::arg("grad"), py::arg("mask"), py::arg("stride"), py::arg("shape"),
             py::arg("threads"), py::arg("grad_x"), py::arg("grad_token"));
}

template <class T>
void bind_loss(py::module_& module, const std::string& suffix) {
  module.def(("masked_loss_" + suffix).c_str(),
             [](const Buffer<const T>& pred, const Buffer<const T>& target, Address mask,
                Shape stride, const Buffer<const T>& weight, Shape shape, int kind, double delta,
                int reduce, int threads, const Buffer<T>& value, const Buffer<double>& saved) {
               const auto how = static_cast<Reduce>(reduce);
               const Index size = size_of(shape), rows = how == Reduce::none ? shape[0] : 1;
               const T* const p = pred.holding("pred", size);
               const T* const y = target.holding("target", size);
               const T* const w = weight.holding_if_any("weight", size);
               T* const out = value.holding("value", rows);
               double* const kept = saved.holding("saved", 2 * rows);
               const KernelScope scope;
               loss_kernels().of(T()).forward(p, y, view(mask, stride), w, extent(shape),
                                              static_cast<PenaltyKind>(kind), delta, how, threads,
                                              out, kept);
             },
             py::arg("pred"), py::arg("target"), py::arg("mask"), py::arg("stride"),
             py::arg("weight"), py::arg("shape"), py::arg("kind"), py::arg("delta"),
             py::arg("reduce"), py::arg("threads"), py::arg("value"), py::arg("saved"));
  module.def(
      ("masked_loss_backward_" + suffix).c_str(),
      [](const Buffer<const T>& grad, Index rows, const Buffer<const double>& saved,
         const Buffer<const T>& pred, const Buffer<const T>& target, Address mask, Shape stride,
         const Buffer<const T>& weight, Shape shape, int kind, double delta, int threads,
         const Buffer<T>& grad_pred, const Buffer<T>& grad_weight) {
        if (rows != 1 && rows != shape[0]) {
          throw std::invalid_argument("rows: " + std::to_string(rows) + "; accepted: 1 or " +
                                      std::to_string(shape[0]));
        }
        const Index size = size_of(shape);
        const T* const upstream = grad.holding("grad", rows);
        const double* const kept = saved.holding("saved", 2 * rows);
        const T* const p = pred.holding("pred", size);
        const T* const y = target.holding("target", size);
        const T* const w = weight.holding_if_any("weight", size);
        T* const to_pred = grad_pred.holding("grad_pred", size);
        T* const to_weight = w == nullptr ? nullptr : grad_weight.holding("grad_weight", size);
        const KernelScope scope;
        loss_kernels().of(T()).backward(upstream, rows, kept, p, y, view(mask, stride), w,
                                        extent(shape), static_cast<PenaltyKind>(kind), delta,
                                        threads, to_pred, to_weight);
      },
      py::arg("grad"), py::arg("rows"), py::arg("saved"), py::arg("pred"), py::arg("target"),
      py::arg("mask"), py::arg("stride"), py::arg("weight"), py::arg("shape"), py::arg("kind"),
      py::arg("delta"), py::arg("threads"), py::arg("grad_pred"), py::arg("grad_weight"));
}

template <class T>
void bind_token_gradient(py::module_& module, const std::string& suffix) {
  module.def(("token_gradient_" + suffix).c_str(),
             [](const Buffer<const T>& grad, const Integers& keep, Shape shape, Index k,
                int threads, const Buffer<T>& out) {
               const T* const from = grad.holding("grad", size_of(shape));
               const Index* const kept = keep.holding("keep", shape[0] * k);
               T* const to = out.holding("out", shape[2]);
               const KernelScope scope;
               tokens_kernels().gradient.of(T())(from, kept, extent(shape), k, threads, to);
             },
             py::arg("grad"), py::arg("keep"), py::arg("shape"), py::arg("k"), py::arg("threads"),
             py::arg("out"));
}

// Rows of `bytes` bytes, whatever they hold; keep: (n, k).
void bind_tokens(py::module_& module) {
  module.def(
      "gather_tokens",
      [](const Bytes& x, const Integers& keep, Index n, Index length, Index k, Index bytes,
         int threads, const Buffer<char>& out) {
        const char* const from = x.holding("x", n * length * bytes);
        const Index* const kept = keep.holding("keep", n * k);
        char* const to = out.holding("out", n * k * bytes);
        const KernelScope scope;
        tokens_kernels().gather(from, kept, n, length, k, bytes, threads, to);
      },
      py::arg("x"), py::arg("keep"), py::arg("n"), py::arg("length"), py::arg("k"),
      py::arg("bytes"), py::arg("threads"), py::arg("out"));
  module.def(
      "restore_tokens",
      [](const Bytes& visible, const Integers& keep, Index n, Index length, Index k, Index bytes,
         const Bytes& token, int threads, const Buffer<char>& out) {
        const char* const from = visible.holding("visible", n * k * bytes);
        const Index* const kept = keep.holding("keep", n * k);
        const char* const hidden = token.holding_if_any("token", bytes);
        char* const to = out.holding("out", n * length * bytes);
        const KernelScope scope;
        tokens_kernels().restore(from, kept, n, length, k, bytes, hidden, threads, to);
      },
      py::arg("visible"), py::arg("keep"), py::arg("n"), py::arg("length"), py::arg("k"),
      py::arg("bytes"), py::arg("token"), py::arg("threads"), py::arg("out"));
}

}  // namespace

void bind_masking(py::module_& module) {
  // plan: code, count, size, runs.
  module.def(
      "mask",
      [](const Seed& seed, const Integers& sample_ids, std::array<Index, 4> plan, Shape shape,
         Index views, bool intersection, int threads, const Buffer<std::uint8_t>& out) {
        const MaskSeed drawn = source(seed, sample_ids, shape[0]);
        std::uint8_t* const to =
            out.holding("out", (views + (intersection ? 1 : 0)) * size_of(shape));
        const KernelScope scope;
        mask_kernel()(drawn, {static_cast<MaskCode>(plan[0]), plan[1], plan[2], plan[3]},
                      extent(shape), views, intersection, threads, to);
      },
      py::arg("seed"), py::arg("sample_ids"), py::arg("plan"), py::arg("shape"), py::arg("views"),
      py::arg("intersection"), py::arg("threads"), py::arg("out"));
  bind_fill<float>(module, "f32");
  bind_fill<double>(module, "f64");
  bind_loss<float>(module, "f32");
  bind_loss<double>(module, "f64");
  bind_token_gradient<float>(module, "f32");
  bind_token_gradient<double>(module, "f64");
  bind_tokens(module);
}

}  // namespace tsssl
