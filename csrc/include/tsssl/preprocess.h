// Preprocessing family: one row is one channel of one series; signatures over raw pointers. The
// formulas are in tsssl_fast/preprocess/, their definition in
// tsssl_fast/ops/preprocess/reference.py.
#pragma once
#include <cstdint>

#include "tsssl/by_dtype.h"

namespace tsssl {

// What `transform` does to a row, and what its two numbers mean.
enum class RowTask : int {
  fill_constant = 0,       // value
  fill_forward = 1,        //
  fill_backward = 2,       //
  fill_both = 3,           //
  fill_linear = 4,         //
  standardize = 5,         // least deviation over |mean|
  minmax = 6,              // low, high
  moving_average = 7,      // window, 1 to repeat the ends
  exponential = 8,         // alpha
  clip_deviations = 9,     // how many
  clip_interquartile = 10  // how many
};

// rows x t, contiguous; row r belongs to sample r / channels, of which lengths[sample] steps are no
// padding (null: t). Padding keeps its values. In double arithmetic, rounded once.
template <class T>
struct PreprocessKernels {
  void (*transform)(const T* x, std::int64_t rows, std::int64_t channels, std::int64_t t,
                    const std::int64_t* lengths, RowTask task, double first, double second,
                    int threads, T* out);
};

}  // namespace tsssl
