// Second-moment matrices (side x side) of packed operands, and products with them.
#pragma once
#include "decorrelation/columns.h"
#include "runtime/parallel.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Depth that is summed in one go before it is added to the rest: rounding grows with the length of
// a sum. At 1024 x 2048 the covariance gradient was off by 7.7 ulp when all the depth was one sum.
constexpr std::int64_t kSumDepth = 128;

// c (kRows x up to one panel, rows ldc apart) = or += a b over the depth.
template <class T, int kVectors, int kRowStride, int kDepthStride>
TSSSL_INLINE void accumulate_vectors(std::int64_t depth, const T* a, const T* b, T* c,
                                     std::int64_t ldc, bool first) {
  constexpr int kLanes = Simd<T>::kLanes;
  constexpr std::int64_t ldb = Panel<T>::kRows;
  for (std::int64_t k = 0; k < depth; k += kSumDepth) {
    Vec<T> acc[Shape::kRows][kVectors];
#pragma GCC unroll 16
    for (int r = 0; r < Shape::kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = Vec<T>{};
    }
    multiply<T, Shape::kRows, kVectors, kRowStride, kDepthStride>(
        min(kSumDepth, depth - k), a + k * kDepthStride, b + k * ldb, ldb, acc);
    const bool fresh = first && k == 0;
#pragma GCC unroll 16
    for (int r = 0; r < Shape::kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        T* out = c + r * ldc + v * kLanes;
        store(out, fresh ? acc[r][v] : load(out) + acc[r][v]);
      }
    }
  }
}

// `columns` of the panel b are in use: the last panel costs only the vectors that it fills.
template <class T, int kRowStride, int kDepthStride>
inline void accumulate(std::int64_t depth, const T* a, const T* b, std::int64_t columns, T* c,
                       std::int64_t ldc, bool first) {
  constexpr int kLanes = Simd<T>::kLanes;
  static_assert(Shape::kVectors == 2 || Shape::kVectors == 3);
  if (columns > 2 * kLanes) {
    accumulate_vectors<T, Shape::kVectors, kRowStride, kDepthStride>(depth, a, b, c, ldc, first);
  } else if (columns > kLanes) {
    accumulate_vectors<T, 2, kRowStride, kDepthStride>(depth, a, b, c, ldc, first);
  } else {
    accumulate_vectors<T, 1, kRowStride, kDepthStride>(depth, a, b, c, ldc, first);
  }
}

// How a side x side product is cut into tasks: pairs of blocks of panels, and for small sides also
// the depth. A function of the shape alone, never of the thread count, so that every sum has one
// order.
struct Cut {
  std::int64_t panels_per_block, blocks, pairs, splits;

  Cut(std::int64_t panels, std::int64_t chunks, bool symmetric) {
    constexpr std::int64_t kTasks = 12, kMaxPanels = 12 / Shape::kVectors;
    panels_per_block = min(kMaxPanels, ceil_div(panels, kTasks));
    blocks = ceil_div(panels, panels_per_block);
    pairs = symmetric ? blocks * (blocks + 1) / 2 : blocks * blocks;
    splits = max(1, min(chunks, kTasks / pairs));
  }
};

// Rows [i0, i1) of a times panel p of b over one chunk, to sums (side x side, rows ld apart).
template <class T>
inline void multiply_rows(NoUnit&, const PackedChunks<T>& a, const PackedChunks<T>& b,
                          std::int64_t chunk, std::int64_t i0, std::int64_t i1, std::int64_t p,
                          T* sums, std::int64_t ld, bool first) {
  constexpr std::int64_t kPanel = Panel<T>::kRows;
  for (std::int64_t i = i0; i < i1; i += Shape::kRows) {
    accumulate<T, 1, kPanel>(a.chunk_depth(chunk), a.left(chunk, i), b.panel(chunk, p),
                             a.side - p * kPanel, sums + i * ld + p * kPanel, ld, first);
  }
}

// Products as they are.
struct Uncorrected {
  template <class T>
  TSSSL_INLINE T operator()(T product, std::int64_t, std::int64_t) const {
    return product;
  }
};

// out (side x side) = a b^T, mirror = b a^T. Symmetric (a is b): one triangle of out, mirrored.
// Returns the sum over i != j of out_ij^2 in float64, taken where a tile is finished.
// out_ij = correct(product, i, j).
template <class Operand, class Correct = Uncorrected, class T = typename Operand::Number>
inline double square(const Operand& a, const Operand& b, int threads, T* out, T* mirror,
                     const Correct& correct = {}) {
  const bool symmetric = out == mirror;
  constexpr std::int64_t kPanel = Panel<T>::kRows;
  const std::int64_t side = a.side, ld = round_up(side, kPanel);
  const Cut cut(a.panels(), a.chunks(), symmetric);
  Scratch<T> partial(cut.splits * ld * ld);
  parallel_for(cut.pairs * cut.splits, threads, [&](std::int64_t task, int) {
    const std::int64_t split = task / cut.pairs;
    std::int64_t bi = 0, bj = task % cut.pairs;
    if (symmetric) {
      for (std::int64_t row = cut.blocks; bj >= row; --row) {
        bj -= row;
        ++bi;
      }
      bj += bi;
    } else {
      bi = bj / cut.blocks;
      bj %= cut.blocks;
    }
    typename Operand::Unit unit;
    T* sums = partial.get() + split * ld * ld;
    const std::int64_t i0 = bi * cut.panels_per_block * kPanel;
    const std::int64_t i1 = min(i0 + cut.panels_per_block * kPanel, round_up(side, Shape::kRows));
    const std::int64_t p0 = bj * cut.panels_per_block;
    const std::int64_t p1 = min(p0 + cut.panels_per_block, b.panels());
    const std::int64_t first = split * a.chunks() / cut.splits;
    const std::int64_t last = (split + 1) * a.chunks() / cut.splits;
    for (std::int64_t chunk = first; chunk < last; ++chunk) {
      for (std::int64_t p = p0; p < p1; ++p) {
        const std::int64_t end = symmetric ? min(i1, (p + 1) * kPanel) : i1;
        multiply_rows(unit, a, b, chunk, i0, end, p, sums, ld, chunk == first);
      }
    }
  });
  // Tiles of 16 x 16, so that the mirrored half is written by whole cache lines: its rows share
  // their cache sets at sides of 1024.
  constexpr std::int64_t kTile = 16;
  const std::int64_t blocks = ceil_div(side, kTile);
  Scratch<double> squares(blocks);
  parallel_for(blocks, threads, [&](std::int64_t block, int) {
    const std::int64_t i0 = block * kTile, rows = min(kTile, side - i0);
    double sums[kTile] = {};
    for (std::int64_t j0 = symmetric ? i0 : 0; j0 < side; j0 += kTile) {
      const std::int64_t columns = min(kTile, side - j0);
      T tile[kTile][kTile] = {};
      for (std::int64_t r = 0; r < rows; ++r) {
        const T* __restrict from = partial.get() + (i0 + r) * ld + j0;
        T* __restrict row = tile[r];
        for (std::int64_t j = 0; j < columns; ++j) row[j] = from[j];
        for (std::int64_t s = 1; s < cut.splits; ++s) {
          for (std::int64_t j = 0; j < columns; ++j) row[j] += from[s * ld * ld + j];
        }
        for (std::int64_t j = 0; j < columns; ++j) row[j] = correct(row[j], i0 + r, j0 + j);
      }
      if (symmetric && j0 == i0) {  // its lower half is there in mirrored form only
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t j = 0; j < r; ++j) tile[r][j] = tile[j][r];
        }
      }
      for (std::int64_t r = 0; r < rows; ++r) {
        T* __restrict to = out + (i0 + r) * side + j0;
        for (std::int64_t j = 0; j < columns; ++j) to[j] = tile[r][j];
      }
      for (std::int64_t j = 0; j < columns; ++j) {
        T* __restrict to = mirror + (j0 + j) * side + i0;
        for (std::int64_t r = 0; r < rows; ++r) to[r] = tile[r][j];
      }
      if (symmetric && j0 == i0) {
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t j = 0; j <= r; ++j) tile[r][j] = T(0);
        }
      } else if (j0 == i0) {
        for (std::int64_t r = 0; r < rows; ++r) tile[r][r] = T(0);
      }
      for (std::int64_t r = 0; r < kTile; ++r) {
        for (std::int64_t j = 0; j < kTile; ++j) {
          sums[j] += double(tile[r][j]) * double(tile[r][j]);
        }
      }
    }
    double total = 0;
    for (std::int64_t j = 0; j < kTile; ++j) total += sums[j];
    squares[block] = symmetric ? 2 * total : total;
  });
  double total = 0;
  for (std::int64_t block = 0; block < blocks; ++block) total += squares[block];
  return total;
}

template <class T>
TSSSL_INLINE double dot(const T* x, const T* y, std::int64_t count) {
  constexpr std::int64_t kParts = 16;
  double parts[kParts] = {};
  std::int64_t k = 0;
  for (; k + kParts <= count; k += kParts) {
    for (int part = 0; part < kParts; ++part) {
      parts[part] += double(x[k + part]) * double(y[k + part]);
    }
  }
  for (; k < count; ++k) parts[k % kParts] += double(x[k]) * double(y[k]);
  double total = 0;
  for (int part = 0; part < kParts; ++part) total += parts[part];
  return total;
}

// sum over i != j of a_ij b_ij in float64.
template <class T>
inline double inner_product(const T* a, const T* b, std::int64_t side, int threads) {
  constexpr std::int64_t kRows = 16;
  Scratch<double> sums(ceil_div(side, kRows));
  parallel_for(ceil_div(side, kRows), threads, [&](std::int64_t block, int) {
    double total = 0;
    for (std::int64_t i = block * kRows; i < min((block + 1) * kRows, side); ++i) {
      const T* x = a + i * side;
      const T* y = b + i * side;
      const std::int64_t rest = i + 1;
      total += dot(x, y, i) + dot(x + rest, y + rest, side - rest);
    }
    sums[block] = total;
  });
  double total = 0;
  for (std::int64_t block = 0; block < ceil_div(side, kRows); ++block) total += sums[block];
  return total;
}

// A matrix (side x side, row-major) without its diagonal as an operand: its rows are the depth.
template <class In, class T>
inline void pack_square(const In* matrix, std::int64_t side, int threads,
                        const PackedChunks<T>& out) {
  constexpr std::int64_t kPanel = Panel<T>::kRows;
  parallel_for(out.chunks() * out.panels(), threads, [&](std::int64_t task, int) {
    const std::int64_t chunk = task / out.panels(), p = task % out.panels();
    T* panel = out.panel(chunk, p);
    const std::int64_t columns = min(kPanel, side - p * kPanel);
    for (std::int64_t k = 0; k < out.chunk_depth(chunk); ++k) {
      const std::int64_t row = chunk * kDepth + k;
      const In* source = matrix + row * side + p * kPanel;
      for (std::int64_t c = 0; c < columns; ++c) panel[k * kPanel + c] = T(source[c]);
      for (std::int64_t c = columns; c < kPanel; ++c) panel[k * kPanel + c] = T(0);
      const std::int64_t self = row - p * kPanel;
      if (self >= 0 && self < columns) panel[k * kPanel + self] = T(0);
    }
  });
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
