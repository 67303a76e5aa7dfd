// Log-sum-exp over keys without gradient, in one walk: exp(a_ij) of a block of keys is summed, and
// multiplied with the same keys while both are in L2. That product, over the sum, is the gradient
// in the query, so that the backward has nothing to do: 2 units of work instead of 3, and the keys
// are normalised and packed a block at a time, never as a whole.
#include "tsssl/keys.h"

#include "contrastive/tile_walk.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// How the keys are cut for threads: a function of the sizes alone. Every piece has its own sums.
struct Pieces {
  std::int64_t size, count;

  Pieces(std::int64_t keys, std::int64_t query_blocks) {
    const std::int64_t wanted = min(ceil_div(keys, 4 * kMaxBlock), ceil_div(32, query_blocks));
    size = round_up(ceil_div(keys, max(wanted, 1)), kMaxBlock);
    count = ceil_div(keys, size);
  }
};

template <class T>
class KeyWalk {
 public:
  KeyWalk(const KeyProblem<T>& problem, const PackedRows<T>& q, int threads, bool gradient)
      : problem_(problem),
        q_(q),
        beta_(T(problem.beta)),
        power_(static_cast<std::int32_t>(std::lrint(std::fabs(problem.beta) / kLn2))),
        gradient_(gradient),
        query_blocks_(ceil_div(q.blocks.rows, kMaxBlock)),
        pieces_(problem.keys, query_blocks_),
        totals_(pieces_.count * q.padded),
        sums_(gradient ? pieces_.count * q.padded * q.stride : 0) {
    parallel_for(pieces_.count * query_blocks_, threads, [&](std::int64_t task, int) {
      walk(task % pieces_.count, task / pieces_.count * kMaxBlock);
    });
  }

  void finish(int threads, const T* scale, T* lse, T* jacobian) const {
    const double shift = power_ * kLn2;
    parallel_for(query_blocks_, threads, [&](std::int64_t block, int) {
      Scratch<T> sum(q_.stride);
      const std::int64_t last = min((block + 1) * kMaxBlock, q_.blocks.rows);
      for (std::int64_t i = block * kMaxBlock; i < last; ++i) {
        const bool live = problem_.q_valid == nullptr || problem_.q_valid[i] != 0;
        double total = 0;
        for (std::int64_t p = 0; p < pieces_.count; ++p) total += totals_[p * q_.padded + i];
        lse[i] = live ? T(std::log(total) + shift) : T(-INFINITY);
        if (jacobian == nullptr) continue;
        for (std::int64_t c = 0; c < q_.stride; ++c) sum[c] = T(0);
        for (std::int64_t p = 0; p < pieces_.count; ++p) {
          const T* part = sums_.get() + (p * q_.padded + i) * q_.stride;
          for (std::int64_t c = 0; c < q_.stride; ++c) sum[c] += part[c];
        }
        const T along = dot(q_.row(i), sum.get(), q_.stride);
        // No pair left: no gradient. NaN stays NaN.
        const T factor = !live || total == 0 ? T(0) : T(double(beta_) * scale[i] / total);
        T* out = jacobian + i * q_.depth;
        for (std::int64_t c = 0; c < q_.depth; ++c) {
          out[c] = live ? (sum[c] - q_.row(i)[c] * along) * factor : T(0);
        }
      }
    });
  }

 private:
  void walk(std::int64_t piece, std::int64_t first) {
    const std::int64_t height = min(kMaxBlock, q_.blocks.rows - first);
    const std::int64_t padded = round_up(height, Shape::kProductRows);
    Scratch<T> tile(kMaxBlock * kTileStride), scale(kMaxBlock);
    double* total = totals_.get() + piece * q_.padded + first;
    T* sum = sums_.get() + (piece * q_.padded + first) * q_.stride;
    for (std::int64_t i = 0; i < height; ++i) total[i] = 0;
    for (std::int64_t x = 0; gradient_ && x < padded * q_.stride; ++x) sum[x] = T(0);
    const std::int64_t end = min((piece + 1) * pieces_.size, problem_.keys);
    for (std::int64_t j = piece * pieces_.size; j < end; j += kMaxBlock) {
      const std::int64_t width = min(kMaxBlock, end - j);
      const std::uint8_t* valid = problem_.k_valid == nullptr ? nullptr : problem_.k_valid + j;
      const RowPieces<T> part{
          problem_.k + j * problem_.k_stride, nullptr, problem_.k_stride, 0, width, 0};
      const auto k = PackedRows<T>::forward({part, problem_.dim, true, valid}, scale.get(), 1);
      exponentials(first, height, k, width, valid, tile.get(), total);
      if (gradient_) {
        product<T, kTileStride, 1>(padded, q_.stride, width, tile.get(), k.row(0), k.stride, sum,
                                   q_.stride);
      }
    }
  }

  // exp(a_ij) 2^-power of a block, 0 for keys that do not count; row sums in T within the block.
  void exponentials(std::int64_t first, std::int64_t height, const PackedRows<T>& k,
                    std::int64_t width, const std::uint8_t* valid, T* tile, double* total) const {
    constexpr int kLanes = Simd<T>::kLanes;
    constexpr std::int64_t kPanel = Panel<T>::kRows;
    alignas(64) T live[kMaxBlock];
    for (std::int64_t j = 0; j < kMaxBlock; ++j) {
      live[j] = j < width && (valid == nullptr || valid[j] != 0) ? T(1) : T(0);
    }
    for (std::int64_t i = 0; i < height; i += Shape::kRows) {
      Vec<T> rows[Shape::kRows] = {};
      for (std::int64_t j = 0; j < width; j += kPanel) {
        Tile<T> acc;
        tile_similarity(k.depth, q_.left(first + i), k.panel(j / kPanel), acc);
#pragma GCC unroll 16
        for (int r = 0; r < Shape::kRows; ++r) {
#pragma GCC unroll 4
          for (int v = 0; v < Shape::kVectors; ++v) {
            const Vec<T> counts = load(live + j + v * kLanes);
            const Vec<T> e = exp_scaled(acc[r][v] * beta_, power_);
            const Vec<T> kept = counts != T(0) ? e : Vec<T>{};
            rows[r] += kept;
            if (gradient_) store(tile + (i + r) * kTileStride + j + v * kLanes, kept);
          }
        }
      }
      for (int r = 0; r < Shape::kRows && i + r < height; ++r) total[i + r] += sum<T>(rows[r]);
    }
  }

  const KeyProblem<T>& problem_;
  const PackedRows<T>& q_;
  const T beta_;
  const std::int32_t power_;
  const bool gradient_;
  const std::int64_t query_blocks_;
  const Pieces pieces_;
  Scratch<double> totals_;
  Scratch<T> sums_;
};

template <class T>
void key_logsumexp(const KeyProblem<T>& problem, int threads, T* lse, T* jacobian) {
  Scratch<T> scale(problem.rows);
  const RowPieces<T> rows{problem.q, nullptr, problem.q_stride, 0, problem.rows, 0};
  const auto q =
      PackedRows<T>::forward({rows, problem.dim, true, problem.q_valid}, scale.get(), threads);
  const KeyWalk<T> walk(problem, q, threads, jacobian != nullptr);
  walk.finish(threads, scale.get(), lse, jacobian);
}

}  // namespace

const ByDtype<KeyKernels>& keys_kernels() {
  static const ByDtype<KeyKernels> table{{key_logsumexp<float>}, {key_logsumexp<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
