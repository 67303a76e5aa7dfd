// The kernels of one operator, for both dtypes that they compute in.
#pragma once

namespace tsssl {

template <template <class> class Kernels>
struct ByDtype {
  Kernels<float> f32;
  Kernels<double> f64;

  // Always inlined: kernel sources leave no symbol that the linker could merge.
  __attribute__((always_inline)) const Kernels<float>& of(float) const { return f32; }
  __attribute__((always_inline)) const Kernels<double>& of(double) const { return f64; }
};

}  // namespace tsssl
