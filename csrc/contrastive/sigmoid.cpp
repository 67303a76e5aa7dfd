// Sigmoid loss over all pairs: the epilogue of a similarity tile is one softplus, or its slope.
#include "contrastive/pair_gradient.h"
#include "simd/softplus.h"
#include "tsssl/sigmoid_triplet.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// y_ij of row i against columns j, j + 1, ...: 1 positive, -1 negative, 0 the pair does not count.
template <class T>
TSSSL_INLINE Vec<T> signs(const PairRules<T>& rules, bool by_position, std::int64_t i,
                          std::int64_t j) {
  typedef typename Simd<T>::Lane Lane;
  const Classes<T> classes = rules.classify(i, j, false);
  IntVec<T> positive = classes.positive;
  if (by_position) {
    positive |= (iota<T>() + static_cast<Lane>(j) == static_cast<Lane>(i)) & classes.negative;
  }
  const Vec<T> otherwise = classes.negative ? broadcast(T(-1)) : Vec<T>{};
  return positive ? broadcast(T(1)) : otherwise;
}

// body(r, v, similarity, logit, y) over a window; y is nullptr on tiles of nothing but negatives.
template <class T, class Start, class Body>
TSSSL_INLINE void walk_signed(const PackedRows<T>& q, const PackedRows<T>& k,
                              const PairRules<T>& rules, bool by_position, const Window& window,
                              T scale, T bias, const Start& start, const Body& body) {
  constexpr int kLanes = Simd<T>::kLanes;
  const auto tile = [&](std::int64_t i, std::int64_t j, Tile<T>& acc, const TileKind& kind) {
    const bool plain =
        kind.plain && !(by_position && j < i + Shape::kRows && i < j + Panel<T>::kRows);
    start(i, j);
#pragma GCC unroll 16
    for (int r = 0; r < Shape::kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Shape::kVectors; ++v) {
        const Vec<T> s = acc[r][v], a = s * scale + bias;
        if (plain) {
          body(i + r, j + v * kLanes, s, a, nullptr);
        } else {
          const Vec<T> y = signs(rules, by_position, i + r, j + v * kLanes);
          body(i + r, j + v * kLanes, s, a, &y);
        }
      }
    }
  };
  walk_tiles<T>(q, k, rules, window, nullptr, tile);
}

template <class T>
void forward(const PairProblem<T>& problem, double bias, int threads, T* q_scale, T* k_scale,
             T* loss) {
  constexpr int kLanes = Simd<T>::kLanes;
  const PairRules<T> rules(problem);
  const auto q = PackedRows<T>::forward(queries(problem), q_scale, threads);
  const auto k = PackedRows<T>::forward(keys(problem), k_scale, threads);
  const bool by_position = problem.q_id == nullptr;
  Scratch<double> total(q.padded);
  for (std::int64_t i = 0; i < q.padded; ++i) total[i] = 0;
  block_pairs_across(
      q.blocks.count, k.blocks.count, threads, [&](std::int64_t bi, std::int64_t bj, int) {
        const Window window{q.blocks.begin(bi), q.blocks.end(bi), k.blocks.begin(bj),
                            k.blocks.end(bj), false};
        alignas(64) T lanes[kMaxBlock * kLanes];
        for (T& x : lanes) x = T(0);
        const auto pair = [&](std::int64_t i, std::int64_t, Vec<T>, Vec<T> a, const Vec<T>* y) {
          const Vec<T> value = y == nullptr ? softplus<T>(a) : softplus<T>(-*y * a);
          add(lanes + (i - window.i0) * kLanes,
              y == nullptr ? value : (*y != T(0) ? value : Vec<T>{}));
        };
        walk_signed(
            q, k, rules, by_position, window, T(problem.beta), T(bias),
            [](std::int64_t, std::int64_t) {}, pair);
        for (std::int64_t i = window.i0; i < window.i1; ++i) {
          total[i] += sum<T>(load(lanes + (i - window.i0) * kLanes));
        }
      });
  for (std::int64_t i = 0; i < q.blocks.rows; ++i) loss[i] = T(total[i]);
}

template <class T>
void backward(const PairProblem<T>& problem, double bias, int threads, const T* q_scale,
              const T* k_scale, const T* grad_loss, T* grad_q, T* grad_k, double* slopes) {
  const PairRules<T> rules(problem);
  const auto q = PackedRows<T>::backward(queries(problem), q_scale, threads);
  const auto k = PackedRows<T>::backward(keys(problem), k_scale, threads);
  const bool by_position = problem.q_id == nullptr;
  Scratch<T> upstream(q.padded);
  for (std::int64_t i = 0; i < q.padded; ++i) upstream[i] = i < q.blocks.rows ? grad_loss[i] : T(0);
  Scratch<double> of_scale(q.blocks.count), of_bias(q.blocks.count);
  for (std::int64_t b = 0; b < q.blocks.count; ++b) of_scale[b] = of_bias[b] = 0;
  using Tile = GradientTile<T>;
  PairGradient<T, PackedRows<T>, Tile> gradient(q, k, false, grad_k != nullptr, threads);
  gradient.run([&](const Window& window, const Tile& tile) {
    // By tile, so that no lane adds more than a few numbers in T.
    Vec<T> with_scale{}, with_bias{};
    double scale_total = 0, bias_total = 0;
    const auto flush = [&](std::int64_t, std::int64_t) {
      scale_total += sum<T>(with_scale);
      bias_total += sum<T>(with_bias);
      with_scale = with_bias = Vec<T>{};
    };
    const auto pair = [&](std::int64_t i, std::int64_t j, Vec<T> s, Vec<T> a, const Vec<T>* y) {
      Vec<T> slope = y == nullptr ? sigmoid<T>(a) : -*y * sigmoid<T>(-*y * a);
      if (y != nullptr) slope = *y != T(0) ? slope : Vec<T>{};
      const Vec<T> w = slope * upstream[i];
      with_scale += w * s;
      with_bias += w;
      tile.put(i - window.i0, j - window.j0, w);
    };
    walk_signed(q, k, rules, by_position, window, T(problem.beta), T(bias), flush, pair);
    flush(0, 0);
    const std::int64_t block = window.i0 / q.blocks.size;
    of_scale[block] += scale_total;
    of_bias[block] += bias_total;
  });
  slopes[0] = slopes[1] = 0;
  for (std::int64_t b = 0; b < q.blocks.count; ++b) {
    slopes[0] += of_scale[b];
    slopes[1] += of_bias[b];
  }
  gradient.finish(q, false, problem.normalize, T(problem.beta), grad_q, nullptr, q.blocks.rows);
  if (grad_k != nullptr)
    gradient.finish(k, true, problem.normalize, T(problem.beta), grad_k, nullptr, k.blocks.rows);
}

}  // namespace

const ByDtype<SigmoidKernels>& sigmoid_kernels() {
  static const ByDtype<SigmoidKernels> table{{forward<float>, backward<float>},
                                             {forward<double>, backward<double>}};
  return table;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
