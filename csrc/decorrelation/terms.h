// From raw sums to a loss and its terms, and back from their gradients.
#pragma once
#include "simd/vec.h"
#include "tsssl/decorrelation.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

template <class T, int kTerms>
inline void write_terms(const Term (&options)[kTerms], const double (&sums)[kTerms],
                        const TermValues<T>& values) {
  double total = 0;
  for (int k = 0; k < kTerms; ++k) {
    const double term = options[k].factor * sums[k];
    values.terms[k] = static_cast<T>(term);
    if (options[k].weight != 0) total += rounded(options[k].weight * term);
  }
  *values.loss = static_cast<T>(total);
}

// Derivatives of what follows in each raw sum.
template <class T, int kTerms>
inline void raw_gradients(const Term (&options)[kTerms], const TermGradients<T>& upstream,
                          double (&out)[kTerms]) {
  for (int k = 0; k < kTerms; ++k) {
    double outer = 0;
    if (upstream.loss != nullptr && options[k].weight != 0) {
      outer = rounded(double(*upstream.loss) * options[k].weight);
    }
    const double own = upstream.terms == nullptr ? 0 : double(upstream.terms[k]);
    out[k] = options[k].factor * (outer + own);
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
