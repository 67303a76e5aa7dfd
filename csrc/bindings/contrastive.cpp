#include "bindings/arguments.h"
#include "cpu/dispatch.h"

namespace py = pybind11;

namespace tsssl {
namespace {

using Address = std::uintptr_t;

template <class T>
void bind(py::module_& module, const char* suffix, NtXent<T> ContrastiveKernels::* kernel) {
  const std::string name = "nt_xent_";
  module.def(
      (name + "forward_" + suffix).c_str(),
      [kernel](Address z1, std::int64_t stride1, Address z2, std::int64_t stride2, std::int64_t n,
               std::int64_t dim, double temperature, int threads, Address loss, Address shift,
               Address total, Address share, Address inverse_norm) {
        py::gil_scoped_release release;
        (contrastive().*kernel)
            .forward({pointer<const T>(z1), pointer<const T>(z2), stride1, stride2, n, dim},
                     temperature, threads, pointer<T>(loss), pointer<T>(shift), pointer<T>(total),
                     pointer<T>(share), pointer<T>(inverse_norm));
      });
  module.def((name + "backward_" + suffix).c_str(),
             [kernel](Address z1, std::int64_t stride1, Address z2, std::int64_t stride2,
                      std::int64_t n, std::int64_t dim, double temperature, int threads,
                      Address shift, Address total, Address share, Address inverse_norm,
                      Address grad_loss, std::int64_t grad_stride, Address grad1, Address grad2) {
               py::gil_scoped_release release;
               (contrastive().*kernel)
                   .backward({pointer<const T>(z1), pointer<const T>(z2), stride1, stride2, n, dim},
                             temperature, threads, pointer<const T>(shift), pointer<const T>(total),
                             pointer<const T>(share), pointer<const T>(inverse_norm),
                             pointer<const T>(grad_loss), grad_stride, pointer<T>(grad1),
                             pointer<T>(grad2));
             });
}

}  // namespace

void bind_contrastive(py::module_& module) {
  bind<float>(module, "f32", &ContrastiveKernels::nt_xent_f32);
  bind<double>(module, "f64", &ContrastiveKernels::nt_xent_f64);
}

}  // namespace tsssl
