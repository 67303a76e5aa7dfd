// From dL/ds on tiles to the gradient of the embeddings: a tile is written once and multiplied with
// both sides while it lies in L2.
#pragma once
#include "contrastive/gradient_tile.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// What both products of tiles added to for one side (nullptr: no such product), as its gradient:
// du = factor * sum / unit; dz = (du - u <u, du>) / ||z|| where rows were normalised, the first
// `first` rows to out1, the others to out2.
// Returns sum_i <u_i, sum_i> / unit = sum over pairs dL/ds_ij s_ij, once per role.
template <class Tile, class T, class Packed>
double finish_rows(const Packed& packed, const T* by_keys, T* by_queries, bool normalized,
                   double factor, double unit, int threads, T* out1, T* out2, std::int64_t first) {
  const PackedRows<T>& side = exact_rows(packed);
  Scratch<double> parts(side.blocks.count);
  threads = threads_for(side.padded * side.stride, threads);
  Scratch<T> own(threads * packed.stride);
  for_rows(side.blocks.rows, side.blocks.count, threads, [&](std::int64_t b, int thread) {
    double total = 0;
    constexpr std::int64_t kPanel = Panel<T>::kRows;
    for (std::int64_t i = side.blocks.begin(b); i < side.blocks.end(b); ++i) {
      if (by_queries != nullptr && i % kPanel == 0) Tile::turn_back(packed, by_queries, i / kPanel);
      const T* u = side.row(i);
      const T* g = Tile::row(packed, by_keys, by_queries, i, own.get() + thread * packed.stride);
      const T along = dot(u, g, side.stride);
      total += along;
      const T projected = normalized ? along : T(0);
      const T scale = side.scale(i) * T(factor / unit);
      T* out = i < first ? out1 + i * side.depth : out2 + (i - first) * side.depth;
      for (std::int64_t c = 0; c < side.depth; ++c) out[c] = (g[c] - u[c] * projected) * scale;
    }
    parts[b] = total;
  });
  double total = 0;
  for (std::int64_t b = 0; b < side.blocks.count; ++b) total += parts[b];
  return total / unit;
}

// Tile: a block pair's dL/ds, GradientTile or TileGradient.
template <class T, class Packed, class Tile>
class PairGradient {
 public:
  // self: one set, whose tiles hold both roles of a pair; else dL/ds of the queries' losses.
  // unit: what the tiles are multiplied with, a power of two.
  PairGradient(const Packed& q, const Packed& k, bool self, bool key_gradient, int threads,
               double unit = 1)
      : q_(q),
        k_(k),
        self_(self),
        key_gradient_(key_gradient),
        threads_(threads),
        unit_(unit),
        by_queries_(key_gradient || (self && Tile::kApart)),
        tiles_(threads * Tile::size(q)),
        query_(q.padded * q.stride),
        key_(by_queries_ ? k.padded * k.stride : 0) {
    clear(q, query_.get());
    if (by_queries_) clear(k, key_.get());
  }

  double unit() const { return unit_; }

  // write(window, tile): every element of the window.
  template <class F>
  void run(const F& write) {
    const auto run_pair = [&](std::int64_t bi, std::int64_t bj, int thread) {
      const bool upper = Packed::kHalfDiagonal && self_ && bi == bj;
      const Window window{q_.blocks.begin(bi), q_.blocks.end(bi), k_.blocks.begin(bj),
                          k_.blocks.end(bj), upper};
      const bool keys = self_ ? upper || bi != bj : key_gradient_;
      const Tile tile(tiles_.get() + thread * Tile::size(q_), q_, k_, window, keys);
      write(window, tile);
      tile.times_keys(query_.get() + window.i0 * q_.stride);
      if (keys) tile.times_queries((by_queries_ ? key_ : query_).get() + window.j0 * k_.stride);
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
      const std::int64_t at = q_.blocks.begin(own) * q_.stride;
      T* const out = query_.get() + at;
      T* const apart = by_queries_ ? key_.get() + at : out;
      for (std::int64_t other = 0; other < q_.blocks.count; ++other) {
        const std::int64_t bi = min(own, other), bj = max(own, other);
        const bool upper = Packed::kHalfDiagonal && bi == bj;
        const Window window{q_.blocks.begin(bi), q_.blocks.end(bi), q_.blocks.begin(bj),
                            q_.blocks.end(bj), upper};
        const Tile tile(tiles_.get() + thread * Tile::size(q_), q_, q_, window,
                        upper || other < own);
        write(window, tile);
        if (own <= other) tile.times_keys(out);
        if (upper || other < own) tile.times_queries(apart);
      }
    });
  }

  // Of the keys or the queries, as finish_rows; once a side, whose sums it turns.
  double finish(const Packed& packed, bool keys, bool normalized, double factor, T* out1, T* out2,
                std::int64_t first) const {
    const T* const by_keys = keys ? nullptr : query_.get();
    T* const by_queries = keys || (self_ && by_queries_) ? key_.get() : nullptr;
    return finish_rows<Tile>(packed, by_keys, by_queries, normalized, factor,
                             unit_ / level_of(keys ? q_ : k_), threads_, out1, out2, first);
  }

 private:
  void clear(const Packed& side, T* gradient) const {
    const int threads = threads_for(side.padded * side.stride, threads_);
    for_rows(side.blocks.rows, side.blocks.count, threads, [&](std::int64_t b, int) {
      const std::int64_t end = side.blocks.padded_end(b) * side.stride;
      for (std::int64_t x = side.blocks.begin(b) * side.stride; x < end; ++x) gradient[x] = T(0);
    });
  }

  const Packed& q_;
  const Packed& k_;
  const bool self_, key_gradient_;
  const int threads_;
  const double unit_;
  const bool by_queries_;  // key_ is what times_queries adds to
  Scratch<T> tiles_, query_, key_;
};

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
