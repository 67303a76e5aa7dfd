// Log-sum-exp over keys without gradient, in one walk: exp(a_ij) of a block of keys is summed, and
// multiplied with the same keys while both are in L2. That product, over the sum, is the gradient
// in the query, so that the backward has nothing to do: 2 units of work instead of 3, and the keys
// are normalised and packed a block at a time, never as a whole.
#include "tsssl/keys.h"

#include "contrastive/many_keys.h"
#include "contrastive/operands.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Queries from `first`, and how many keys.
struct KeyBlock {
  std::int64_t first, height, width;
  bool gradient;
};

// Exponentials of a block of queries and keys on register tiles, and their product with the keys.
template <class T>
struct KeysOnVectors {
  typedef PackedRows<T> Packed;
  static constexpr std::int64_t kTile = kMaxBlock * kTileStride;

  static Packed rows(const KeyProblem<T>&, const RowsInput<T>& input, T* scale, bool, int threads) {
    return Packed::forward(input, scale, threads);
  }
  static bool usable(const Packed&) { return true; }

  // total[i] += sum_j exp(a_ij) 2^-power, in T within the block; weighted += exponentials times
  // keys.
  static void add(const KeyBlock& block, const Packed& q, const Packed& k, T beta,
                  std::int32_t power, const T* live, T* tile, double* total, T* weighted) {
    constexpr int kLanes = Simd<T>::kLanes;
    constexpr std::int64_t kPanel = Panel<T>::kRows;
    for (std::int64_t i = 0; i < block.height; i += Shape::kRows) {
      Vec<T> rows[Shape::kRows] = {};
      for (std::int64_t j = 0; j < block.width; j += kPanel) {
        Tile<T> acc;
        tile_similarity(k.depth, q.left(block.first + i), k.panel(j / kPanel), acc);
#pragma GCC unroll 16
        for (int r = 0; r < Shape::kRows; ++r) {
#pragma GCC unroll 4
          for (int v = 0; v < Shape::kVectors; ++v) {
            const Vec<T> counts = load(live + j + v * kLanes);
            const Vec<T> e = exp_scaled(acc[r][v] * beta, power);
            const Vec<T> kept = counts != T(0) ? e : Vec<T>{};
            rows[r] += kept;
            if (block.gradient) store(tile + (i + r) * kTileStride + j + v * kLanes, kept);
          }
        }
      }
      for (int r = 0; r < Shape::kRows && i + r < block.height; ++r)
        total[i + r] += sum<T>(rows[r]);
    }
    if (!block.gradient) return;
    product<T, kTileStride, 1>(round_up(block.height, Shape::kProductRows), q.stride, block.width,
                               tile, k.row(0), k.stride, weighted, q.stride);
  }
  // Row i of sums.
  static const T* row(const Packed& q, const T* sums, std::int64_t i, T*) {
    return sums + i * q.stride;
  }
};

#ifdef TSSSL_TILE_UNIT

// The same on the tensor unit.
struct KeysOnUnit {
  typedef TileRows Packed;
  static constexpr std::int64_t kTile = 3 * kMaxBlock * kMaxBlock;

  static TileProducts products(const KeyProblem<float>& problem) {
    return tile_products(problem.bits, problem.precision);
  }
  static Packed rows(const KeyProblem<float>& problem, const RowsInput<float>& input, float* scale,
                     bool deep, int threads) {
    return Packed::forward(input, products(problem), scale, deep, threads);
  }
  static bool usable(const Packed& rows) { return rows.usable(); }

  static void add(const KeyBlock& block, const Packed& q, const Packed& k, float beta,
                  std::int32_t power, const float* live, float* tile, double* total,
                  float* weighted) {
    constexpr int kLanes = Simd<float>::kLanes;
    const Window window{block.first, block.first + block.height, 0, block.width, false};
    const TileGradient weights(tile, q, k, window, false);
    alignas(64) Vec<float> rows[kMaxBlock] = {};
    walk_blocks<float>(q, k, NoRules(), window, static_cast<const float*>(nullptr),
                       [&](std::int64_t i, std::int64_t j, const Tile<float>& acc, int) {
                         const std::int64_t at = i - block.first;
#pragma GCC unroll 4
                         for (int v = 0; v < Shape::kVectors; ++v) {
                           const Vec<float> counts = load(live + j + v * kLanes);
                           Vec<float> kept[Shape::kRows];
#pragma GCC unroll 16
                           for (int r = 0; r < Shape::kRows; ++r) {
                             const Vec<float> e = exp_scaled(acc[r][v] * beta, power);
                             kept[r] = counts != 0.0f ? e : Vec<float>{};
                             rows[at + r] += kept[r];
                           }
                           if (block.gradient) weights.put(at, j + v * kLanes, kept);
                         }
                       });
    for (std::int64_t i = 0; i < block.height; ++i) total[i] += sum<float>(rows[i]);
    if (block.gradient) weights.times_keys(weighted);
  }
  static const float* row(const Packed& q, const float* sums, std::int64_t i, float* own) {
    return TileGradient::row(q, sums, nullptr, i, own);
  }

 private:
  struct NoRules {
    TSSSL_INLINE int kind(std::int64_t, std::int64_t, bool) const { return 0; }
  };
};

#endif

template <class T, class Operands>
class KeyWalk {
 public:
  typedef typename Operands::Packed Packed;

  KeyWalk(const KeyProblem<T>& problem, const Packed& q, int threads, bool gradient)
      : problem_(problem),
        q_(q),
        beta_(T(problem.beta)),
        power_(static_cast<std::int32_t>(std::lrint(std::fabs(problem.beta) / kLn2))),
        gradient_(gradient),
        query_blocks_(ceil_div(q.blocks.rows, kMaxBlock)),
        pieces_(problem.keys, query_blocks_),
        totals_(pieces_.count * q.padded),
        sums_(gradient ? pieces_.count * q.padded * q.stride : 0),
        usable_(pieces_.count * query_blocks_) {
    parallel_for(pieces_.count * query_blocks_, threads, [&](std::int64_t task, int) {
      usable_[task] = walk(task % pieces_.count, task / pieces_.count * kMaxBlock);
    });
  }

  // false: keys that these operands do not take.
  bool finish(int threads, const T* scale, T* lse, T* jacobian) const {
    for (std::int64_t task = 0; task < pieces_.count * query_blocks_; ++task) {
      if (usable_[task] == 0) return false;
    }
    const PackedRows<T>& exact = exact_rows(q_);
    const double shift = power_ * kLn2;
    parallel_for(query_blocks_, threads, [&](std::int64_t block, int) {
      Scratch<T> sum(q_.stride), own(q_.stride);
      const std::int64_t last = min((block + 1) * kMaxBlock, q_.blocks.rows);
      for (std::int64_t i = block * kMaxBlock; i < last; ++i) {
        const bool live = problem_.q_valid == nullptr || problem_.q_valid[i] != 0;
        double total = 0;
        for (std::int64_t p = 0; p < pieces_.count; ++p) total += totals_[p * q_.padded + i];
        lse[i] = live ? T(std::log(total) + shift) : T(-INFINITY);
        if (jacobian == nullptr) continue;
        for (std::int64_t c = 0; c < q_.stride; ++c) sum[c] = T(0);
        for (std::int64_t p = 0; p < pieces_.count; ++p) {
          const T* part = Operands::row(q_, sums_.get() + p * q_.padded * q_.stride, i, own.get());
          for (std::int64_t c = 0; c < q_.stride; ++c) sum[c] += part[c];
        }
        const T along = dot(exact.row(i), sum.get(), exact.stride);
        // No pair left: no gradient. NaN stays NaN.
        const T factor = !live || total == 0 ? T(0) : T(double(beta_) * scale[i] / total);
        T* out = jacobian + i * q_.depth;
        for (std::int64_t c = 0; c < q_.depth; ++c) {
          out[c] = live ? (sum[c] - exact.row(i)[c] * along) * factor : T(0);
        }
      }
    });
    return true;
  }

 private:
  bool walk(std::int64_t piece, std::int64_t first) {
    const std::int64_t height = min(kMaxBlock, q_.blocks.rows - first);
    const std::int64_t padded = min(kMaxBlock, q_.padded - first);
    Scratch<T> tile(Operands::kTile), scale(kMaxBlock);
    Scratch<T> wide(problem_.narrow_k == nullptr ? 0 : kMaxBlock * problem_.dim);
    double* total = totals_.get() + piece * q_.padded + first;
    T* sum = sums_.get() + (piece * q_.padded + first) * q_.stride;
    for (std::int64_t i = 0; i < height; ++i) total[i] = 0;
    for (std::int64_t x = 0; gradient_ && x < padded * q_.stride; ++x) sum[x] = T(0);
    const std::int64_t end = min((piece + 1) * pieces_.size, problem_.keys);
    for (std::int64_t j = piece * pieces_.size; j < end; j += kMaxBlock) {
      const std::int64_t width = min(kMaxBlock, end - j);
      const std::uint8_t* valid = problem_.k_valid == nullptr ? nullptr : problem_.k_valid + j;
      const RowPieces<T> part = keys_at(j, width, wide.get());
      const auto k = Operands::rows(problem_, {part, problem_.dim, true, valid, Role::keys},
                                    scale.get(), gradient_, 1);
      if (!Operands::usable(k)) return false;
      alignas(64) T live[kMaxBlock];
      for (std::int64_t c = 0; c < kMaxBlock; ++c) {
        live[c] = c < width && (valid == nullptr || valid[c] != 0) ? T(1) : T(0);
      }
      Operands::add({first, height, width, gradient_}, q_, k, beta_, power_, live, tile.get(),
                    total, sum);
    }
    return true;
  }

  // Keys [j, j + width), bfloat16 ones a block at a time: a copy of all is larger than L2 and lies
  // on fresh pages in every call.
  RowPieces<T> keys_at(std::int64_t j, std::int64_t width, T* wide) const {
    if (problem_.narrow_k == nullptr) {
      return {problem_.k + j * problem_.k_stride, nullptr, problem_.k_stride, 0, width, 0};
    }
    for (std::int64_t r = 0; r < width; ++r) {
      const Bfloat16* const from = problem_.narrow_k + (j + r) * problem_.k_stride;
      for (std::int64_t c = 0; c < problem_.dim; ++c) wide[r * problem_.dim + c] = T(from[c]);
    }
    return {wide, nullptr, problem_.dim, 0, width, 0};
  }

  const KeyProblem<T>& problem_;
  const Packed& q_;
  const T beta_;
  const std::int32_t power_;
  const bool gradient_;
  const std::int64_t query_blocks_;
  const KeyPieces pieces_;
  Scratch<double> totals_;
  Scratch<T> sums_;
  Scratch<std::uint8_t> usable_;
};

template <class Operands, class T>
bool log_sum_exp(const KeyProblem<T>& problem, int threads, T* lse, T* jacobian) {
  Scratch<T> scale(problem.rows);
  const RowPieces<T> rows{problem.q, nullptr, problem.q_stride, 0, problem.rows, 0};
  const auto q = Operands::rows(problem, {rows, problem.dim, true, problem.q_valid, Role::queries},
                                scale.get(), false, threads);
  if (!Operands::usable(q)) return false;
  const KeyWalk<T, Operands> walk(problem, q, threads, jacobian != nullptr);
  return walk.finish(threads, scale.get(), lse, jacobian);
}

#ifdef TSSSL_TILE_UNIT

bool unit_pays(const KeyProblem<float>& problem) {
  return unit_pays(problem.rows, problem.keys, problem.dim, KeysOnUnit::products(problem));
}

void key_logsumexp(const KeyProblem<float>& problem, int threads, float* lse, float* jacobian) {
  if (unit_pays(problem) && log_sum_exp<KeysOnUnit>(problem, threads, lse, jacobian)) return;
  vectors::keys_kernels().f32.log_sum_exp(problem, threads, lse, jacobian);
}

const char* key_products(const KeyProblem<float>& problem) {
  return unit_pays(problem) ? KeysOnUnit::products(problem).name : "ieee";
}

}  // namespace

const ByDtype<KeyKernels>& keys_kernels() {
  static const ByDtype<KeyKernels> table{{key_logsumexp, key_products},
                                         vectors::keys_kernels().f64};
  return table;
}

#else

template <class T>
void key_logsumexp(const KeyProblem<T>& problem, int threads, T* lse, T* jacobian) {
  log_sum_exp<KeysOnVectors<T>>(problem, threads, lse, jacobian);
}

template <class T>
const char* key_products(const KeyProblem<T>&) {
  return "ieee";
}

}  // namespace

const ByDtype<KeyKernels>& keys_kernels() {
  static const ByDtype<KeyKernels> table{{key_logsumexp<float>, key_products<float>},
                                         {key_logsumexp<double>, key_products<double>}};
  return table;
}

#endif

}  // namespace TSSSL_ISA
}  // namespace tsssl
