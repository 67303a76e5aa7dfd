// What second moments and gradients are multiplied with: register tiles.
#pragma once
#include "decorrelation/square.h"
#include "tsssl/decorrelation.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// One for each of some tasks, true at first.
class Flags {
 public:
  explicit Flags(std::int64_t count) : count_(count), flags_(count) {
    for (std::int64_t i = 0; i < count; ++i) flags_[i] = 1;
  }
  std::uint8_t& operator[](std::int64_t i) const { return flags_[i]; }
  bool all() const {
    for (std::int64_t i = 0; i < count_; ++i) {
      if (flags_[i] == 0) return false;
    }
    return true;
  }

 private:
  const std::int64_t count_;
  Scratch<std::uint8_t> flags_;
};

template <class T>
struct RegisterProducts {
  typedef NoUnit Unit;
  static constexpr bool kAsTheyAre = false;
  // Whether gradients of views that `cancels` names are taken here, in float64.
  static constexpr bool kWide = true;
  static constexpr std::int64_t kRows = Shape::kRows;  // a left operand's are a multiple of

  template <class In>
  static bool pays(const Views<In>&) {
    return true;
  }

  // A side of the second moments: rows of the Gram matrix, or columns of the covariance.
  class Operand : private Scratch<T>, public PackedChunks<T> {
   public:
    template <class In>
    Operand(const Views<In>&, std::int64_t side, std::int64_t depth)
        : Scratch<T>(PackedChunks<T>::size(side, depth)),
          PackedChunks<T>{Scratch<T>::get(), side, depth} {}
    bool usable() const { return true; }
  };

  // The second moments without their diagonal. On the n side, where they are the left operand, they
  // are symmetric.
  class Matrix : private Scratch<T>, public PackedChunks<T> {
   public:
    template <class In, class S>
    Matrix(const Views<In>&, const S* matrix, std::int64_t side, int threads)
        : Scratch<T>(PackedChunks<T>::size(side, side)),
          PackedChunks<T>{Scratch<T>::get(), side, side} {
      pack_square(matrix, side, threads, *this);
    }
    bool usable() const { return true; }
  };

  // A chunk of a view's rows, `width` columns of it at most: right operand on the n side.
  class Columns {
   public:
    Columns(const Matrix&, std::int64_t width) : data_(kDepth * width) {}

    template <class In>
    bool pack(const Matrix& matrix, std::int64_t chunk, const View<In>& view, std::int64_t dim,
              const Standardise<T>& x, std::int64_t c0, std::int64_t columns) const {
      const std::int64_t depth = matrix.chunk_depth(chunk);
      for (std::int64_t j = 0; j < columns; j += kPanel) {
        pack_columns(view, dim, x, c0 + j, chunk * kDepth, depth, data_.get() + j * depth);
      }
      return true;
    }
    // g (n x columns, rows ldg apart) = or += S x.
    void multiply(Unit&, const Matrix& matrix, std::int64_t chunk, std::int64_t columns, T* g,
                  std::int64_t ldg) const {
      const std::int64_t depth = matrix.chunk_depth(chunk);
      const std::int64_t rows = round_up(matrix.side, Shape::kRows);
      for (std::int64_t p = 0; p < matrix.panels(); ++p) {
        const std::int64_t end = min((p + 1) * kPanel, rows);
        for (std::int64_t j = 0; j < columns; j += kPanel) {
          for (std::int64_t i = p * kPanel; i < end; i += Shape::kRows) {
            accumulate<T, 1, kPanel>(depth, matrix.left(chunk, i), data_.get() + j * depth,
                                     columns - j, g + i * ldg + j, ldg, chunk == 0);
          }
        }
      }
    }

   private:
    Scratch<T> data_;
  };

  // A chunk of a view's columns, `height` rows of it: left operand on the dim side.
  class Rows {
   public:
    Rows(const Matrix&, std::int64_t height) : height_(height), data_(height * kStride) {}

    template <class In>
    bool pack(const Matrix& matrix, std::int64_t chunk, const View<In>& view,
              const Standardise<T>& x, std::int64_t first, std::int64_t rows) const {
      const std::int64_t depth = matrix.chunk_depth(chunk), c0 = chunk * kDepth;
      for (std::int64_t i = 0; i < height_; ++i) {
        T* out = data_.get() + i * kStride;
        if (i < rows) {
          const In* z = view.row(first + i);
          for (std::int64_t k = 0; k < depth; ++k) out[k] = standard(z, c0 + k, x);
        } else {
          for (std::int64_t k = 0; k < depth; ++k) out[k] = T(0);
        }
      }
      return true;
    }
    // g (rows x dim, rows ldg apart) = or += x S.
    void multiply(Unit&, const Matrix& matrix, std::int64_t chunk, std::int64_t rows, T* g,
                  std::int64_t ldg) const {
      for (std::int64_t p = 0; p < matrix.panels(); ++p) {
        for (std::int64_t i = 0; i < rows; i += Shape::kRows) {
          accumulate<T, kStride, 1>(matrix.chunk_depth(chunk), data_.get() + i * kStride,
                                    matrix.panel(chunk, p), matrix.side - p * kPanel,
                                    g + i * ldg + p * kPanel, ldg, chunk == 0);
        }
      }
    }

   private:
    static constexpr std::int64_t kStride = kDepth + 16;  // rows on different cache sets

    const std::int64_t height_;
    Scratch<T> data_;
  };

 private:
  static constexpr std::int64_t kPanel = Panel<T>::kRows;
};

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
