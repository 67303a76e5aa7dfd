// Contrastive family: signatures over raw pointers. See tsssl_fast/ops/contrastive/README.md for
// the derivation, the flop count and what is saved.
#pragma once
#include <cstdint>

namespace tsssl {

// Two row-major views of the same series, z1 and z2, n rows each; rows [0, n) of the problem are
// z1, rows [n, 2n) are z2.
template <class T>
struct TwoViews {
  const T* z1;
  const T* z2;
  std::int64_t stride1;  // elements between rows; columns are contiguous
  std::int64_t stride2;
  std::int64_t n;
  std::int64_t dim;
};

// NT-Xent, equation (1) of the SimCLR-TS report. With u = z / ||z||, a_ij = <u_i, u_j> / tau and
// p(i) the other view of i:
//   loss_i = log sum_{j != i} exp(a_ij) - a_{i p(i)},  P_ij = exp(a_ij) / sum_{k != i} exp(a_ik)
// Rows with ||z|| <= 1e-12 count as u = 0 and get zero gradient.
//   loss, shift, total, share, inverse_norm: (2n). Over the negatives (j != i, j != p(i)):
//   sum exp(a_ij) = exp(shift_i) total_i; share_i = 1 - P_{i p(i)}; inverse_norm_i = 1 / ||z_i||,
//   or 0.
// Gradient for upstream grad_loss g (2n, elements grad_stride apart):
//   dL/du_i = (1/tau) [ sum_{negatives j} (g_i P_ij + g_j P_ji) u_j
//                       - (g_i share_i + g_{p(i)} share_{p(i)}) u_{p(i)} ]
//   dL/dz_i = (dL/du_i - u_i <u_i, dL/du_i>) / ||z_i||
// grad1, grad2: (n, dim), contiguous.
template <class T>
struct NtXent {
  void (*forward)(const TwoViews<T>& views, double temperature, int threads, T* loss, T* shift,
                  T* total, T* share, T* inverse_norm);
  void (*backward)(const TwoViews<T>& views, double temperature, int threads, const T* shift,
                   const T* total, const T* share, const T* inverse_norm, const T* grad_loss,
                   std::int64_t grad_stride, T* grad1, T* grad2);
};

struct ContrastiveKernels {
  NtXent<float> nt_xent_f32;
  NtXent<double> nt_xent_f64;
};

}  // namespace tsssl
