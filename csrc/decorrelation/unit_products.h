// What second moments and gradients are multiplied with: the tensor unit. As register_products.h,
// but for numbers that can not be scaled (not finite, or in float32's last octaves), which
// `usable` and `pack` report.
#pragma once
#include "decorrelation/register_products.h"
#include "gemm/split_blocks.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// 32 rows of a view from `first`, columns from c0, standardised; zeros where there are none.
template <class In>
inline void gather_rows(const View<In>& view, std::int64_t n, std::int64_t dim,
                        const Standardise<float>& x, std::int64_t first, std::int64_t c0,
                        std::int64_t depth, BlockRows& out) {
  const std::int64_t columns = min(depth, dim - c0), rows = min(kBlockRows, n - first);
  for (std::int64_t r = 0; r < kBlockRows; ++r) {
    float* const to = out.row(r);
    const std::int64_t used = r < rows ? columns : 0;
    if (r < rows) {
      const In* const z = view.row(first + r) + c0;
      const float *const mean = x.mean + c0, *const rest = x.rest + c0, *const scale = x.scale + c0;
      for (std::int64_t k = 0; k < used; ++k)
        to[k] = ((float(z[k]) - mean[k]) - rest[k]) * scale[k];
    }
    for (std::int64_t k = used; k < depth; ++k) to[k] = 0;
  }
}

// 32 columns of a view from c0, rows from `first`: depth that lies row by row.
template <class In>
inline void gather_depth(const View<In>& view, std::int64_t n, std::int64_t dim,
                         const Standardise<float>& x, std::int64_t c0, std::int64_t first,
                         std::int64_t depth, BlockRows& out) {
  const std::int64_t columns = min(kBlockRows, dim - c0), rows = min(depth, n - first);
  const float *const mean = x.mean + c0, *const rest = x.rest + c0, *const scale = x.scale + c0;
  for (std::int64_t k = 0; k < depth; ++k) {
    float* const to = out.across(k);
    const std::int64_t used = k < rows ? columns : 0;
    if (k < rows) {
      const In* const z = view.row(first + k) + c0;
      for (std::int64_t c = 0; c < used; ++c)
        to[c] = ((float(z[c]) - mean[c]) - rest[c]) * scale[c];
    }
    for (std::int64_t c = used; c < kBlockRows; ++c) to[c] = 0;
  }
}

// A block of a square matrix without its diagonal: rows from i0, columns from j0.
TSSSL_INLINE void gather_square(const float* matrix, std::int64_t side, std::int64_t i0,
                                std::int64_t rows, std::int64_t j0, std::int64_t columns, float* to,
                                std::int64_t stride) {
  for (std::int64_t i = 0; i < rows; ++i) {
    float* const out = to + i * stride;
    const std::int64_t used = i0 + i < side ? min(columns, side - j0) : 0;
    const float* const from = matrix + (i0 + i) * side + j0;
    for (std::int64_t j = 0; j < used; ++j) out[j] = from[j];
    for (std::int64_t j = used; j < columns; ++j) out[j] = 0;
    const std::int64_t self = i0 + i - j0;
    if (self >= 0 && self < columns) out[self] = 0;
  }
}

struct UnitProducts {
  typedef TileUnit Unit;
  static constexpr std::int64_t kRows = kBlockRows;

  // bfloat16 inputs as they are: one part, exact.
  static constexpr bool kAsTheyAre = true;
  static constexpr bool kWide = false;  // the kernels without a unit have them

  // By vectors a product of one part alone takes less time than one of float32: Barlow Twins of
  // bfloat16 inputs, which are standardised, took 1.6 to 1.8 times as long on an AMD EPYC.
  template <class In>
  static bool pays(const Views<In>& views) {
#ifdef TSSSL_BF16_PAIRS
    return views.as_they_are > 0 || views.precision == Precision::bf16;
#else
    return views.count > 0;
#endif
  }

  // Which parts are multiplied. Centred columns of 16-bit inputs need more digits than these have,
  // so they are float32's: two parts hold them to 2^-17, and where columns are alike their errors
  // are too; the covariance penalty of 2048 x 16 equal columns of float16 was off by 4.1 ulps.
  template <class In>
  static PartProducts second_moments(const Views<In>& views) {
    if (views.as_they_are > 0) return {1, 1, 1};
    if (views.precision == Precision::ieee) return {3, 3, 3};
    return gradient(views);
  }
  template <class In>
  static PartProducts gradient(const Views<In>& views) {
    if (const int parts = views.as_they_are) {
      return views.gram ? PartProducts{parts, 1, parts} : PartProducts{1, parts, parts};
    }
    if (views.precision == Precision::bf16) return {1, 1, 1};
    const bool three = views.precision == Precision::ieee && views.bits >= 24;
    return three ? PartProducts{3, 3, 3} : PartProducts{2, 2, 2};
  }

  class Operand {
   public:
    typedef float Number;
    typedef TileUnit Unit;

    template <class In>
    Operand(const Views<In>& views, std::int64_t side_, std::int64_t depth_)
        : side(side_),
          depth(depth_),
          products(second_moments(views)),
          left(side, depth, products.left),
          right(side, depth, products.right),
          usable_(panels() * chunks()) {}
    std::int64_t panels() const { return ceil_div(side, kBlockRows); }
    std::int64_t chunks() const { return ceil_div(depth, kChunk); }
    bool usable() const { return usable_.all(); }

    const std::int64_t side, depth;
    const PartProducts products;
    const SplitBlocks left, right;

   private:
    template <class In>
    friend void pack(const View<In>& view, std::int64_t n, std::int64_t dim, bool gram,
                     const Standardise<float>& x, std::int64_t c0, std::int64_t c1,
                     const Operand& out) {
      BlockRows rows;
      if (gram) {
        const std::int64_t chunk = c0 / kChunk;
        for (std::int64_t p = 0; p < out.panels(); ++p) {
          gather_rows(view, n, dim, x, p * kBlockRows, c0, out.left.depth(chunk), rows);
          out.usable_[chunk * out.panels() + p] = out.left.left_from_rows(chunk, p, rows);
          out.right.from_other(chunk, p, out.left);
        }
        return;
      }
      for (std::int64_t c = c0; c < c1; c += kBlockRows) {
        for (std::int64_t chunk = 0; chunk < out.chunks(); ++chunk) {
          const std::int64_t p = c / kBlockRows;
          gather_depth(view, n, dim, x, c, chunk * kChunk, out.right.depth(chunk), rows);
          out.usable_[chunk * out.panels() + p] = out.right.right_from_depth(chunk, p, rows);
          out.left.from_other(chunk, p, out.right);
        }
      }
    }

    const Flags usable_;
  };

  class Matrix {
   public:
    template <class In>
    Matrix(const Views<In>& views, const float* matrix, std::int64_t side_, int threads)
        : side(side_),
          products(gradient(views)),
          blocks(side, side, views.gram ? products.left : products.right),
          usable_(panels() * chunks()) {
      parallel_for(panels() * chunks(), threads, [&](std::int64_t task, int) {
        const std::int64_t chunk = task / panels(), p = task % panels();
        const std::int64_t i0 = p * kBlockRows, k0 = chunk * kChunk, depth = blocks.depth(chunk);
        BlockRows rows;
        if (views.gram) {
          gather_square(matrix, side, i0, kBlockRows, k0, depth, rows.row(0), kChunk);
          usable_[task] = blocks.left_from_rows(chunk, p, rows);
        } else {
          gather_square(matrix, side, k0, depth, i0, kBlockRows, rows.across(0), kBlockRows);
          usable_[task] = blocks.right_from_depth(chunk, p, rows);
        }
      });
    }
    std::int64_t panels() const { return ceil_div(side, kBlockRows); }
    std::int64_t chunks() const { return ceil_div(side, kChunk); }
    bool usable() const { return usable_.all(); }

    const std::int64_t side;
    const PartProducts products;
    const SplitBlocks blocks;

   private:
    const Flags usable_;
  };

  class Columns {
   public:
    Columns(const Matrix& matrix, std::int64_t width)
        : blocks_(width, min(matrix.side, kChunk), matrix.products.right) {}

    template <class In>
    bool pack(const Matrix& matrix, std::int64_t chunk, const View<In>& view, std::int64_t dim,
              const Standardise<float>& x, std::int64_t c0, std::int64_t columns) const {
      BlockRows rows;
      bool usable = true;
      for (std::int64_t j = 0; j < columns; j += kBlockRows) {
        gather_depth(view, matrix.side, dim, x, c0 + j, chunk * kChunk, blocks_.depth(0), rows);
        usable &= blocks_.right_from_depth(0, j / kBlockRows, rows);
      }
      return usable;
    }
    void multiply(Unit& unit, const Matrix& matrix, std::int64_t chunk, std::int64_t columns,
                  float* g, std::int64_t ldg) const {
      for (std::int64_t p = 0; p < matrix.panels(); ++p) {
        for (std::int64_t j = 0; j < columns; j += kBlockRows) {
          multiply_blocks(unit, matrix.products, matrix.blocks.steps(chunk),
                          matrix.blocks.at(chunk, p), blocks_.at(0, j / kBlockRows),
                          g + p * kBlockRows * ldg + j, ldg, chunk == 0);
        }
      }
    }

   private:
    const SplitBlocks blocks_;
  };

  class Rows {
   public:
    Rows(const Matrix& matrix, std::int64_t height)
        : blocks_(height, min(matrix.side, kChunk), matrix.products.left) {}

    template <class In>
    bool pack(const Matrix& matrix, std::int64_t chunk, const View<In>& view,
              const Standardise<float>& x, std::int64_t first, std::int64_t rows) const {
      BlockRows gathered;
      bool usable = true;
      for (std::int64_t i = 0; i < rows; i += kBlockRows) {
        gather_rows(view, first + rows, matrix.side, x, first + i, chunk * kChunk, blocks_.depth(0),
                    gathered);
        usable &= blocks_.left_from_rows(0, i / kBlockRows, gathered);
      }
      return usable;
    }
    void multiply(Unit& unit, const Matrix& matrix, std::int64_t chunk, std::int64_t rows, float* g,
                  std::int64_t ldg) const {
      for (std::int64_t i = 0; i < rows; i += kBlockRows) {
        for (std::int64_t p = 0; p < matrix.panels(); ++p) {
          multiply_blocks(unit, matrix.products, matrix.blocks.steps(chunk),
                          blocks_.at(0, i / kBlockRows), matrix.blocks.at(chunk, p),
                          g + i * ldg + p * kBlockRows, ldg, chunk == 0);
        }
      }
    }

   private:
    const SplitBlocks blocks_;
  };
};

inline void multiply_rows(TileUnit& unit, const UnitProducts::Operand& a,
                          const UnitProducts::Operand& b, std::int64_t chunk, std::int64_t i0,
                          std::int64_t i1, std::int64_t p, float* sums, std::int64_t ld,
                          bool first) {
  for (std::int64_t i = i0; i < i1; i += kBlockRows) {
    multiply_blocks(unit, a.products, a.left.steps(chunk), a.left.at(chunk, i / kBlockRows),
                    b.right.at(chunk, p), sums + i * ld + p * kBlockRows, ld, first);
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
