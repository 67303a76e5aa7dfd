// A problem of queries and keys as Python builds it, for every operator over pairs.
#pragma once
#include "bindings/arguments.h"
#include "tsssl/contrastive.h"

namespace tsssl {

template <class T>
struct BoundPairs {
  PairProblem<T> problem{};

  // q, k: addresses; k == 0: one set, whose `columns` and k_ rules are the queries' again. narrow:
  // the keys are bfloat16.
  BoundPairs(Address q, Index q_stride, Index rows, Address k, Index k_stride, bool narrow,
             Index columns, Index dim, double beta, int bits, int precision, bool normalize,
             bool symmetric, bool skip_diagonal, int group_rule,
             const Buffer<const std::int32_t>& q_id, const Buffer<const std::int32_t>& k_id,
             const Buffer<const std::int32_t>& q_group, const Buffer<const std::int32_t>& k_group,
             const Buffer<const std::uint8_t>& q_valid, const Buffer<const std::uint8_t>& k_valid,
             const Buffer<const std::uint8_t>& mask, const Buffer<const T>& weight) {
    problem.q = {pointer<const T>(q), nullptr, q_stride, 0, rows, 0};
    problem.k = {narrow ? nullptr : pointer<const T>(k), nullptr, k_stride, 0, columns, 0};
    problem.narrow_k = narrow ? pointer<const Bfloat16>(k) : nullptr;
    problem.dim = dim;
    problem.beta = beta;
    problem.bits = bits;
    problem.precision = static_cast<Precision>(precision);
    problem.normalize = normalize;
    problem.symmetric = symmetric;
    problem.skip_diagonal = skip_diagonal;
    problem.group_rule = static_cast<GroupRule>(group_rule);
    problem.q_id = q_id.holding_if_any("q_id", rows);
    problem.k_id = k_id.holding_if_any("k_id", columns);
    problem.q_group = q_group.holding_if_any("q_group", rows);
    problem.k_group = k_group.holding_if_any("k_group", columns);
    problem.q_valid = q_valid.holding_if_any("q_valid", rows);
    problem.k_valid = k_valid.holding_if_any("k_valid", columns);
    problem.mask = mask.holding_if_any("mask", rows * columns);
    problem.weight = weight.holding_if_any("weight", rows * columns);
    problem.mask_stride = problem.weight_stride = columns;
    const ManyKeys sizes{rows, columns, normalize, !symmetric && !skip_diagonal, beta};
    if (narrow && !sizes.hold<T>()) {
      throw std::invalid_argument("narrow: True; accepted: False for keys that are not many");
    }
  }

  // For kernels that take no bfloat16 keys.
  const PairProblem<T>& wide() const {
    if (problem.narrow_k != nullptr) {
      throw std::invalid_argument("narrow: True; accepted: False for this kernel");
    }
    return problem;
  }
  Index queries() const { return problem.q.count1; }
  Index keys() const { return problem.one_set() ? 0 : problem.k.count1; }
  // Of sums and outputs.
  Index rows() const { return queries() + (problem.symmetric ? problem.k.count1 : 0); }
  Index dim() const { return problem.dim; }
};

}  // namespace tsssl
