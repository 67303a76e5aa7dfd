// What a decorrelation loss multiplies with, and which problems are given to it: register tiles in
// every instruction set, the tensor unit in those that have one.
#pragma once
#include "decorrelation/second_moments.h"
#include "runtime/dispatch.h"

#ifdef TSSSL_TILE_UNIT
#include "decorrelation/unit_products.h"
#endif

namespace tsssl {
namespace TSSSL_ISA {
namespace {

#ifdef TSSSL_TILE_UNIT

// Where the unit is the faster one: a rule of the shape alone, so that bits never depend on a
// measurement. Six products of parts pay for themselves where the products are most of the work.
// When the rule was chosen, VICReg forward and backward on an Intel Xeon with AMX, two threads,
// against register tiles:
//   256 x 256: float32 1.5 of the time, bfloat16 1.1; 256 x 2048: 1.25, 0.94;
//   1024 x 2048: 0.96, 0.71; 2048 x 2048: 0.92, 0.63.
// The emulation takes whatever has a whole tile, to be tested.
inline bool unit_pays(const Views<float>& views) {
#ifdef TSSSL_TILE_EMULATION
  constexpr std::int64_t least_side = kTileRows, least_depth = kTileRows;
#else
  const bool few = views.bits < 24 || views.precision != Precision::ieee;
  const std::int64_t least_side = few ? 256 : 768, least_depth = 512;
#endif
  return side_of(views) >= least_side && depth_of(views) >= least_depth;
}

// The kernels of Loss, whose forward and backward take the products as their first type, and
// return false for numbers that these can not multiply. `Vectors` are its kernels without a unit.
template <class Loss, const ByDtype<Loss::template Kernels>& (*Vectors)()>
struct Entry {
  using Options = typename Loss::Options;

  static void forward(const Views<float>& views, const Options& options, int threads,
                      const TermValues<float>& values, double* moments, float* matrices) {
    if (unit_pays(views) &&
        Loss::template forward<UnitProducts>(views, options, threads, values, moments, matrices)) {
      return;
    }
    Vectors().f32.forward(views, options, threads, values, moments, matrices);
  }
  static void backward(const Views<float>& views, const Options& options,
                       const TermGradients<float>& upstream, int threads, const double* moments,
                       const float* matrices, float* const* gradients) {
    if (unit_pays(views) && Loss::template backward<UnitProducts>(views, options, upstream, threads,
                                                                  moments, matrices, gradients)) {
      return;
    }
    Vectors().f32.backward(views, options, upstream, threads, moments, matrices, gradients);
  }
  static ByDtype<Loss::template Kernels> kernels() { return {{forward, backward}, Vectors().f64}; }
};

#else

template <class Loss, const ByDtype<Loss::template Kernels>& (*)()>
struct Entry {
  using Options = typename Loss::Options;

  template <class T>
  static void forward(const Views<T>& views, const Options& options, int threads,
                      const TermValues<T>& values, double* moments, T* matrices) {
    Loss::template forward<RegisterProducts<T>>(views, options, threads, values, moments, matrices);
  }
  template <class T>
  static void backward(const Views<T>& views, const Options& options,
                       const TermGradients<T>& upstream, int threads, const double* moments,
                       const T* matrices, T* const* gradients) {
    Loss::template backward<RegisterProducts<T>>(views, options, upstream, threads, moments,
                                                 matrices, gradients);
  }
  static ByDtype<Loss::template Kernels> kernels() {
    return {{forward<float>, backward<float>}, {forward<double>, backward<double>}};
  }
};

#endif

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
