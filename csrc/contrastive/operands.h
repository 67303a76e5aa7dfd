// What the engine multiplies with, and which problems are given to it: register tiles in every
// instruction set, the tensor unit in those that have one.
#pragma once
#include "contrastive/pair_problem.h"

#ifdef TSSSL_TILE_UNIT
#include "contrastive/tile_gradient.h"
#include "contrastive/tile_rows.h"
#include "runtime/dispatch.h"
#endif

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// The precision of the products: a lower one than float32's own where its error has a bound, on
// unit rows of float32 whose exponents have the fixed shift (temperatures above 1/30).
template <class T>
TSSSL_INLINE Precision precision_of(const PairProblem<T>& problem) {
  const bool bounded = problem.bits == 24 && problem.normalize &&
                       2 * __builtin_fabs(problem.beta) < kFixedShiftLimit<T>;
  return bounded ? problem.precision : Precision::ieee;
}

template <class T>
struct RegisterTiles {
  typedef PackedRows<T> Packed;
  typedef GradientTile<T> Gradient;

  // gradient: a gradient is formed from the same operand.
  static Packed forward(const PairProblem<T>&, const RowsInput<T>& input, T* scale, bool,
                        int threads) {
    return Packed::forward(input, scale, threads);
  }
  static Packed backward(const PairProblem<T>&, const RowsInput<T>& input, const T* scale,
                         int threads) {
    return Packed::backward(input, scale, threads);
  }
  static bool usable(const Packed&) { return true; }
};

#ifdef TSSSL_TILE_UNIT

struct UnitTiles {
#ifdef TSSSL_BF16_PAIRS
  typedef SimilarityRows Packed;
  typedef GradientTile<float> Gradient;
#else
  typedef TileRows Packed;
  typedef TileGradient Gradient;
#endif

  static Packed forward(const PairProblem<float>& problem, const RowsInput<float>& input,
                        float* scale, bool gradient, int threads) {
    return Packed::forward(input, products(problem), scale, gradient, threads);
  }
  static Packed backward(const PairProblem<float>& problem, const RowsInput<float>& input,
                         const float* scale, int threads) {
    return Packed::backward(input, products(problem), scale, threads);
  }
  static TileProducts products(const PairProblem<float>& problem) {
    return tile_products(problem.bits, precision_of(problem));
  }
  static bool usable(const Packed& rows) { return rows.usable(); }
};

// Where the unit is the faster one: a rule of the shape alone, so that bits never depend on a
// measurement. Its tiles are filled and read again by vectors, which pays where there are enough
// products; the more parts, the later. When the rule was chosen, NT-Xent forward and backward on an
// Intel Xeon with AMX, two threads, against register tiles:
//   one part: 128 rows of 512 0.94 of the time, 256 of 128 0.95, 512 of 1024 0.55;
//   two parts: 256 rows of 512 0.95, 512 of 128 0.94, 512 of 64 1.04;
//   three parts: 512 rows of 512 0.99, 768 of 512 0.94, 2048 of 128 1.06.
// By vectors of bfloat16 pairs, of 16-bit inputs on an AMD EPYC, two towers: 256 rows of 128 0.99
// of the time, 512 of 128 0.94, 1024 of 128 0.89, 512 of 1024 0.88. The emulation takes whatever
// has a whole tile, to be tested.
TSSSL_INLINE bool unit_pays(std::int64_t rows, std::int64_t columns, std::int64_t dim,
                            const TileProducts& products) {
  const std::int64_t parts = products.similarity.left;
#ifdef TSSSL_TILE_EMULATION
  constexpr std::int64_t kRows = kTileRows, kDim = kTileRows, kDeep = kTileRows;
  const std::int64_t least = kRows * kRows * kDim;
#elif defined(TSSSL_BF16_PAIRS)
  if (parts > 1) return false;  // three products of pairs take longer than one of float32
  constexpr std::int64_t kRows = 64, kDim = 64, kDeep = 64;
  const std::int64_t least = 1 << 23;
#else
  constexpr std::int64_t kRows = 64, kDim = 64, kDeep = 384;
  const std::int64_t least = parts == 1 ? 1 << 23 : parts == 2 ? 1 << 25 : 1 << 27;
#endif
  return min(rows, columns) >= kRows && dim >= (parts < 3 ? kDim : kDeep) &&
         double(rows) * double(columns) * double(dim) >= double(least);
}

TSSSL_INLINE bool unit_pays(const PairProblem<float>& problem) {
  const std::int64_t rows = count_rows(problem.q);
  const std::int64_t columns = problem.one_set() ? rows : count_rows(problem.k);
  return unit_pays(rows, columns, problem.dim, UnitTiles::products(problem));
}

inline const char* products(const PairProblem<float>& problem) {
  return unit_pays(problem) ? UnitTiles::products(problem).name : "ieee";
}

#endif

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
