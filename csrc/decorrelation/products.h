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
//   192 x 1024: bfloat16 1.03 of the time, bf16x3 1.00; 256 x 256: 0.78, 0.88;
//   256 x 512: float16 0.89, float32 1.01; 384 x 1024: 0.92, 0.95; 512 x 2048: 0.77, 0.83.
// Barlow Twins is near these, but in bfloat16 (256 x 256: 1.04, 512 x 2048: 0.77).
// By vectors of bfloat16 pairs on an AMD EPYC: 256 x 256 0.98 in bfloat16 and 0.91 where it is
// allowed for float32, 512 x 512 0.86 and 0.79.
// The emulation takes whatever has a whole tile, to be tested.
template <class In>
inline bool unit_pays(const Views<In>& views) {
#ifdef TSSSL_TILE_EMULATION
  constexpr std::int64_t least_side = kTileRows, least_depth = kTileRows;
#else
  const bool few = views.bits <= 8 || views.precision != Precision::ieee;
  const std::int64_t least_side = few || views.bits < 24 ? 256 : 384, least_depth = few ? 256 : 512;
#endif
#ifdef TSSSL_BF16_PAIRS
  if (views.bits > 8 && views.precision != Precision::bf16) return false;
#endif
  return side_of(views) >= least_side && depth_of(views) >= least_depth;
}

// The kernels of Loss, whose forward and backward take the products as their first type, and
// return false for numbers that these can not multiply. `Vectors` are its kernels without a unit.
template <class Loss, const ByInput<Loss::template Kernels>& (*Vectors)()>
struct Entry {
  using Options = typename Loss::Options;

  template <class In, class T = Computed<In>>
  static void forward(const Views<In>& views, const Options& options, int threads,
                      const TermValues<T>& values, double* moments, T* matrices) {
    if (unit_pays(views) &&
        Loss::template forward<UnitProducts>(views, options, threads, values, moments, matrices)) {
      return;
    }
    Vectors().of(In()).forward(views, options, threads, values, moments, matrices);
  }
  template <class In, class T = Computed<In>>
  static void backward(const Views<In>& views, const Options& options,
                       const TermGradients<T>& upstream, int threads, const double* moments,
                       const T* matrices, In* const* gradients) {
    if (unit_pays(views) && Loss::template backward<UnitProducts>(views, options, upstream, threads,
                                                                  moments, matrices, gradients)) {
      return;
    }
    Vectors().of(In()).backward(views, options, upstream, threads, moments, matrices, gradients);
  }
  static ByInput<Loss::template Kernels> kernels() {
    return {{{forward<float>, backward<float>}, Vectors().f64},
            {forward<Bfloat16>, backward<Bfloat16>}};
  }
};

#else

template <class Loss, const ByInput<Loss::template Kernels>& (*)()>
struct Entry {
  using Options = typename Loss::Options;

  template <class In, class T = Computed<In>>
  static void forward(const Views<In>& views, const Options& options, int threads,
                      const TermValues<T>& values, double* moments, T* matrices) {
    Loss::template forward<RegisterProducts<T>>(views, options, threads, values, moments, matrices);
  }
  template <class In, class T = Computed<In>>
  static void backward(const Views<In>& views, const Options& options,
                       const TermGradients<T>& upstream, int threads, const double* moments,
                       const T* matrices, In* const* gradients) {
    Loss::template backward<RegisterProducts<T>>(views, options, upstream, threads, moments,
                                                 matrices, gradients);
  }
  static ByInput<Loss::template Kernels> kernels() {
    return {{{forward<float>, backward<float>}, {forward<double>, backward<double>}},
            {forward<Bfloat16>, backward<Bfloat16>}};
  }
};

#endif

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
