// Losses that are no softmax, on the tiles of the contrastive engine: signatures over raw pointers.
#pragma once
#include "tsssl/contrastive.h"

namespace tsssl {

// Sigmoid loss over all pairs of queries and keys, logits a_ij = scale s_ij + bias:
//   loss_i = sum_j log(1 + exp(-y_ij a_ij)),  y = 1 for positives, -1 for negatives.
// The problem's beta is the scale. Positives have equal ids; without ids they are the pairs (i, i).
template <class T>
struct SigmoidKernels {
  // loss: (queries). q_scale, k_scale: 1 / norm, as PairKernels writes them.
  void (*forward)(const PairProblem<T>& problem, double bias, int threads, T* q_scale, T* k_scale,
                  T* loss);
  // grad_loss: (queries), contiguous. grad_q, grad_k: contiguous; grad_k may be nullptr.
  // slopes: dL/dscale, dL/dbias.
  void (*backward)(const PairProblem<T>& problem, double bias, int threads, const T* q_scale,
                   const T* k_scale, const T* grad_loss, T* grad_q, T* grad_k, double* slopes);
};

// What the triplet loss keeps of each row: the similarity and the index of its hardest (most
// similar) negative, the lowest index where several are alike and -1 where there is none; the
// number of its positives (0 where there is no negative), and of those within the margin.
template <class T>
struct TripletRows {
  T* hardest;
  T* count;
  T* active;
  std::int32_t* nearest;
};

// Triplet loss of one set (the problem's k is empty, beta is not used), n(i) the hardest negative:
//   loss_i = mean over the positives p of max(0, margin + s_{i n(i)} - s_ip),
// 0 for rows without a positive or without a negative.
template <class T>
struct TripletKernels {
  void (*forward)(const PairProblem<T>& problem, double margin, int threads, T* scale,
                  const TripletRows<T>& rows, T* loss);
  void (*backward)(const PairProblem<T>& problem, double margin, int threads, const T* scale,
                   const TripletRows<T>& rows, const T* grad_loss, T* grad);
};

}  // namespace tsssl
