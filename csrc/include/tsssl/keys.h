// Log-sum-exp over keys without gradient (a queue, prototypes): the gradient is formed with it.
#pragma once
#include <cstdint>

#include "tsssl/bfloat16.h"
#include "tsssl/by_dtype.h"
#include "tsssl/precision.h"

namespace tsssl {

// Unit queries against unit keys, logits a_ij = beta <u_i, v_j>, 2 |beta| below the limit of the
// fixed exponent shift (kFixedShiftLimit in contrastive.h).
template <class T>
struct KeyProblem {
  const T* q;
  const T* k;
  const Bfloat16* narrow_k;  // not null: the keys, in place of k
  std::int64_t q_stride, k_stride, rows, keys, dim;
  double beta;
  const std::uint8_t* q_valid;  // nullptr: all; 0: the row takes part in no pair
  const std::uint8_t* k_valid;
  int bits = sizeof(T) == 4 ? 24 : 53;  // significant, of the caller's numbers
  Precision precision = Precision::ieee;
};

// lse: (rows), log sum_j exp(a_ij), -inf where no pair is left. jacobian: (rows, dim), d lse_i /
// d q_i, or nullptr. Both are the same for any number of threads.
template <class T>
struct KeyKernels {
  void (*log_sum_exp)(const KeyProblem<T>& problem, int threads, T* lse, T* jacobian);
  // In words, what forms the products of a problem of this shape.
  const char* (*products)(const KeyProblem<T>& problem);
};

}  // namespace tsssl
