// How exact products of matrices are.
#pragma once

namespace tsssl {

// The largest error allowed in products of float32 numbers: float32's own, that of three products
// of bfloat16 parts, that of one.
enum class Precision : int { ieee = 0, bf16x3 = 1, bf16 = 2 };

}  // namespace tsssl
