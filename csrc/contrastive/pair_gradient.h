// From dL/ds on tiles to the gradient of the embeddings: a tile is written once and multiplied with
// both sides while it lies in L2.
#pragma once
#include "contrastive/tile_walk.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T>
class PairGradient {
 public:
  // self: one set, whose tiles hold both roles of a pair; else dL/ds of the queries' losses.
  PairGradient(const PackedRows<T>& q, const PackedRows<T>& k, bool self, bool key_gradient,
               int threads)
      : q_(q),
        k_(k),
        self_(self),
        key_gradient_(key_gradient),
        threads_(threads),
        tiles_(threads * kTile),
        query_(q.padded * q.stride),
        key_(key_gradient ? k.padded * k.stride : 0) {
    clear(q, query_.get());
    if (key_gradient) clear(k, key_.get());
  }

  // write(window, block of rows, tile): every element of the window, rows kTileStride apart.
  template <class F>
  void run(const F& write) {
    const auto run_pair = [&](std::int64_t bi, std::int64_t bj, int thread) {
      const Window window{q_.blocks.begin(bi), q_.blocks.end(bi), k_.blocks.begin(bj),
                          k_.blocks.end(bj), false};
      T* tile = tiles_.get() + thread * kTile;
      write(window, bi, tile);
      const std::int64_t height = window.i1 - window.i0, width = window.j1 - window.j0;
      // Gradients are padded to whole panels, so whole register tiles may be written.
      product<T, kTileStride, 1>(round_up(height, Shape::kProductRows), q_.stride, width, tile,
                                 k_.row(window.j0), k_.stride, query_.get() + window.i0 * q_.stride,
                                 q_.stride);
      T* other = self_ ? query_.get() : key_.get();
      if (self_ ? bi != bj : key_gradient_) {
        product<T, 1, kTileStride>(round_up(width, Shape::kProductRows), k_.stride, height, tile,
                                   q_.row(window.i0), q_.stride, other + window.j0 * k_.stride,
                                   k_.stride);
      }
    };
    if (self_) {
      block_pairs_within(q_.blocks.count, threads_, run_pair);
    } else {
      block_pairs_across(q_.blocks.count, k_.blocks.count, threads_, run_pair);
    }
  }

  // One set of at most kOwnedRows, its tiles cheap to write: every block of rows by itself, each
  // pair's tile twice. No block waits for another or wanders to another core's cache.
  template <class F>
  void run_owned(const F& write) {
    parallel_shares(q_.blocks.count, threads_, [&](std::int64_t own, int thread) {
      T* tile = tiles_.get() + thread * kTile;
      const std::int64_t begin = q_.blocks.begin(own), height = q_.blocks.end(own) - begin;
      T* out = query_.get() + begin * q_.stride;
      for (std::int64_t other = 0; other < q_.blocks.count; ++other) {
        const std::int64_t bi = min(own, other), bj = max(own, other);
        write(Window{q_.blocks.begin(bi), q_.blocks.end(bi), q_.blocks.begin(bj), q_.blocks.end(bj),
                     false},
              bi, tile);
        const std::int64_t first = q_.blocks.begin(other), depth = q_.blocks.end(other) - first;
        const std::int64_t rows = round_up(height, Shape::kProductRows);
        if (own <= other) {
          product<T, kTileStride, 1>(rows, q_.stride, depth, tile, q_.row(first), q_.stride, out,
                                     q_.stride);
        } else {
          product<T, 1, kTileStride>(rows, q_.stride, depth, tile, q_.row(first), q_.stride, out,
                                     q_.stride);
        }
      }
    });
  }

  // du = factor * (what was accumulated); dz = (du - u <u, du>) / ||z|| where rows were normalised,
  // the first `first` rows to out1, the others to out2.
  // Returns sum_i <u_i, accumulated_i> = sum over pairs dL/ds_ij s_ij, once per role.
  double finish(const PackedRows<T>& side, bool keys, bool normalized, T factor, T* out1, T* out2,
                std::int64_t first) const {
    const T* gradient = keys ? key_.get() : query_.get();
    Scratch<double> parts(side.blocks.count);
    const int threads = threads_for(side.padded * side.stride, threads_);
    for_rows(side.blocks.rows, side.blocks.count, threads, [&](std::int64_t b, int) {
      double total = 0;
      for (std::int64_t i = side.blocks.begin(b); i < side.blocks.end(b); ++i) {
        const T* u = side.row(i);
        const T* g = gradient + i * side.stride;
        const T along = dot(u, g, side.stride);
        total += along;
        const T projected = normalized ? along : T(0);
        const T scale = side.scale(i) * factor;
        T* out = i < first ? out1 + i * side.depth : out2 + (i - first) * side.depth;
        for (std::int64_t c = 0; c < side.depth; ++c) out[c] = (g[c] - u[c] * projected) * scale;
      }
      parts[b] = total;
    });
    double total = 0;
    for (std::int64_t b = 0; b < side.blocks.count; ++b) total += parts[b];
    return total;
  }

 private:
  static constexpr std::int64_t kTile = kMaxBlock * kTileStride;

  void clear(const PackedRows<T>& side, T* gradient) const {
    const int threads = threads_for(side.padded * side.stride, threads_);
    for_rows(side.blocks.rows, side.blocks.count, threads, [&](std::int64_t b, int) {
      const std::int64_t end = side.blocks.padded_end(b) * side.stride;
      for (std::int64_t x = side.blocks.begin(b) * side.stride; x < end; ++x) gradient[x] = T(0);
    });
  }

  const PackedRows<T>& q_;
  const PackedRows<T>& k_;
  const bool self_, key_gradient_;
  const int threads_;
  Scratch<T> tiles_, query_, key_;
};

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
