// NT-Xent of two views with its three matrix products in bfloat16 (AVX512_BF16), summed in float32:
// the tiles, blocks and schedule of the float32 engine on pairs of 16-bit numbers.
//
// Rounded: unit rows in the similarities of the negatives, dL/da and unit rows in the gradient's
// products. Not rounded: norms, exponentials, all sums, the positive's logit and its part of the
// gradient, from float32 rows. A converged batch keeps its digits: its loss and the weight of every
// gradient hang on the positive's logit.
#pragma once
#include "contrastive/gradient_tile.h"
#include "contrastive/nt_xent_rows.h"
#include "contrastive/operands.h"
#include "contrastive/tile_sums.h"
#include "gemm/bf16_tiles.h"
#include "runtime/dispatch.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Where bfloat16 is allowed and was the faster one, by shape alone: forward and backward on an AMD
// EPYC with two threads, in parts of the time in float32: 32 x 128 1.12, 128 x 128 0.85, 256 x 128
// 0.82, 4096 x 128 0.56. 16-bit inputs would not be multiplied as they are: unit rows are rounded.
TSSSL_INLINE bool pairs_pay(const PairProblem<float>& problem) {
  return precision_of(problem) == Precision::bf16 && count_rows(problem.q) >= 256 &&
         problem.dim >= 128;
}

constexpr std::int64_t kRowPitch = 144;  // pairs between rows of a tile: 9 cache lines

// Rows in float32, and rounded: packed in panels for similarities, interleaved two rows at a time
// as the right operand of the gradient's products.
class RoundedRows {
 public:
  static RoundedRows forward(const PairProblem<float>& problem, float* scale, int threads) {
    return RoundedRows(problem, scale, scale, threads);
  }
  static RoundedRows backward(const PairProblem<float>& problem, const float* scale, int threads) {
    return RoundedRows(problem, nullptr, scale, threads);
  }

  std::int64_t packed_depth() const { return depth_; }
  const Bf16Pair* panel(std::int64_t p) const { return panels_.get() + p * kPanel * depth_; }
  const Bf16Pair* left(std::int64_t i) const { return panel(i / kPanel) + i % kPanel; }
  const Bf16Pair* row_pair(std::int64_t i) const {
    return interleaved_.get() + i / 2 * exact.stride;
  }

  const PackedRows<float> exact;
  const RowBlocks<float> blocks;
  const std::int64_t padded;

 private:
  static constexpr std::int64_t kPanel = Panel<Bf16Pair>::kRows;
  static constexpr std::int64_t kLanes = Simd<float>::kLanes;

  static PackedRows<float> rows_of(const PairProblem<float>& problem, float* written,
                                   const float* scale, int threads) {
    const RowsInput<float> input{problem.q, problem.dim, true, nullptr, Role::both, false};
    if (written != nullptr) return PackedRows<float>::forward(input, written, threads);
    return PackedRows<float>::backward(input, scale, threads);
  }

  // Without `written`: the backward's, whose products read interleaved rows.
  RoundedRows(const PairProblem<float>& problem, float* written, const float* scale, int threads)
      : exact(rows_of(problem, written, scale, threads)),
        blocks(exact.blocks),
        padded(exact.padded),
        depth_(ceil_div(problem.dim, 2)),
        panels_(padded * depth_),
        interleaved_(written == nullptr ? padded / 2 * exact.stride : 0) {
    const std::int64_t pairs = exact.stride / 2;
    threads = threads_for(padded * problem.dim, threads);
    Scratch<Bf16Pair> scratch(threads * kPanel * pairs);
    parallel_for(padded / kPanel, threads, [&](std::int64_t p, int thread) {
      Bf16Pair* rounded = scratch.get() + thread * kPanel * pairs;
      const std::int64_t first = p * kPanel, live = min(kPanel, blocks.rows - first);
      for (std::int64_t r = 0; r < live; ++r) {
        const float* row = exact.row(first + r);
        for (std::int64_t c = 0; c < exact.stride; c += kLanes) {
          store_row(rounded + r * pairs + c / 2, round_to_bf16(load(row + c)));
        }
      }
      pack_panel(rounded, pairs, live, depth_, panels_.get() + p * kPanel * depth_);
      if (written == nullptr) interleave(first, live);
    });
  }

  // Two views: the number of rows is even. No product reads the padding.
  void interleave(std::int64_t first, std::int64_t live) const {
    for (std::int64_t i = first; i < first + live; i += 2) {
      Bf16Pair* out = interleaved_.get() + i / 2 * exact.stride;
      for (std::int64_t c = 0; c < exact.stride; c += kLanes) {
        Vec<float> even = load(exact.row(i) + c), odd = load(exact.row(i + 1) + c);
        store_columns(out + c, take_part(even, odd).pairs);
      }
    }
  }

  const std::int64_t depth_;
  Scratch<Bf16Pair> panels_, interleaved_;
};

// A block pair's dL/da twice: pairs along its rows for the product over columns, pairs of rows for
// the product over rows.
struct RoundedTile {
  static constexpr std::int64_t kRows = kMaxBlock * kRowPitch;
  static constexpr std::int64_t kSize = kRows + kMaxBlock / 2 * kTileStride;

  TSSSL_INLINE void put(std::int64_t i, std::int64_t j, const Vec<float> (&w)[Shape::kRows]) const {
#pragma GCC unroll 16
    for (int r = 0; r < Shape::kRows; r += 2) {
      Vec<float> first = w[r], second = w[r + 1];
      const RoundedPair part = take_part(first, second);
      store_row(along_rows() + (i + r) * kRowPitch + j / 2, part.even);
      store_row(along_rows() + (i + r + 1) * kRowPitch + j / 2, part.odd);
      store_columns(along_columns() + (i + r) / 2 * kTileStride + j, part.pairs);
    }
  }
  Bf16Pair* along_rows() const { return data; }
  Bf16Pair* along_columns() const { return data + kRows; }

  Bf16Pair* data;
};

void rounded_forward(const PairProblem<float>& problem, Reduction reduction, int threads,
                     const NtXentRows<float>& rows, float* loss) {
  const PairRules<float> rules(problem);
  const auto u = RoundedRows::forward(problem, rows.scale, threads);
  const PairSums<float>& sums = rows.sums;
  const float beta = float(problem.beta);
  const ExponentShift<float> shift(problem.beta);
  Side<float> side(u.padded, beta);
  visit(u, u, true, threads, [&](const Window& window, int) {
    block_sums<float, true, false, false, false>(u, u, rules, window, beta, shift.power, side, side,
                                                 nullptr);
  });
  const std::int64_t n = problem.offset;
  for (std::int64_t i = 0; i < 2 * n; ++i) {
    const std::int64_t other = i < n ? i + n : i - n;
    const float a = beta * dot(u.exact.row(i), u.exact.row(other), u.exact.stride);
    sums.negative_shift[i] = sums.positive_shift[i] = beta;
    sums.negative_total[i] = float(side.of(kNegative)[i] * shift.factor());
    sums.positive_total[i] = float(std::exp(double(a) - beta));
    sums.count[i] = 1;
    sums.logit[i] = a;
  }
  row_losses(2 * n, rows, reduction, loss);
}

// du_i = beta (sum over negatives W_ij u_j - (g_i + g_p) u_p), g = -dL/da of the positives, p the
// other view
// of i, and through the norm dz_i = (du_i - u_i <u_i, du_i>) / ||z_i||.
void rounded_finish(const PackedRows<float>& u, const double* g_positive, float beta,
                    std::int64_t n, int threads, float* negatives, float* grad1, float* grad2) {
  parallel_for(u.blocks.count, threads_for(u.padded * u.stride, threads), [&](std::int64_t b, int) {
    for (std::int64_t i = u.blocks.begin(b); i < u.blocks.end(b); ++i) {
      const std::int64_t other = i < n ? i + n : i - n;
      const float positive = float(g_positive[i] + g_positive[other]);
      const float* row = u.row(i);
      const float* its = u.row(other);
      float* g = negatives + i * u.stride;
      for (std::int64_t c = 0; c < u.stride; ++c) g[c] -= positive * its[c];
      const float along = dot(row, g, u.stride), factor = u.scale(i) * beta;
      float* out = i < n ? grad1 + i * u.depth : grad2 + (i - n) * u.depth;
      for (std::int64_t c = 0; c < u.depth; ++c) out[c] = (g[c] - row[c] * along) * factor;
    }
  });
}

void rounded_backward(const PairProblem<float>& problem, Reduction reduction, int threads,
                      const NtXentRows<float>& rows, const UpstreamGradient<float>& upstream,
                      float* grad1, float* grad2) {
  const PairRules<float> rules(problem);
  const auto u = RoundedRows::backward(problem, rows.scale, threads);
  const std::int64_t m = u.blocks.rows, stride = u.exact.stride;
  const RowLogitGradient<float> logit(m, reduction, rows, upstream);
  Scratch<float> none(m), gradient(u.padded * stride);
  for (std::int64_t i = 0; i < m; ++i) none[i] = 0;
  for (std::int64_t x = 0; x < u.padded * stride; ++x) gradient[x] = 0;
  const float beta = float(problem.beta);
  const std::int32_t power = ExponentShift<float>(problem.beta).power;
  const LogitGradientSide<float> side(u.padded, 0, m, true, power, rows.sums,
                                      {logit.negative.get(), none.get(), none.get()});
  Scratch<Bf16Pair> tiles(threads * RoundedTile::kSize);
  visit(u, u, true, threads, [&](const Window& window, int thread) {
    const RoundedTile tile{tiles.get() + thread * RoundedTile::kSize};
    const bool diagonal = window.upper;
    Window whole = window;
    whole.upper = false;  // one product with the whole symmetric tile
    gradient_tile<float, true, false, false>(u, u, rules, whole, beta, power, side, side, nullptr,
                                             tile);
    const std::int64_t height = window.i1 - window.i0, width = window.j1 - window.j0;
    product<Bf16Pair, kRowPitch, 1>(round_up(height, Shape::kProductRows), stride, width / 2,
                                    tile.along_rows(), u.row_pair(window.j0), stride,
                                    gradient.get() + window.i0 * stride, stride);
    if (diagonal) return;
    product<Bf16Pair, 1, kTileStride>(round_up(width, Shape::kProductRows), stride, height / 2,
                                      tile.along_columns(), u.row_pair(window.i0), stride,
                                      gradient.get() + window.j0 * stride, stride);
  });
  rounded_finish(u.exact, logit.positive.get(), beta, problem.offset, threads, gradient.get(),
                 grad1, grad2);
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
