// bfloat16 numbers as callers store them: kernels read and write them in place, and compute in
// float32.
#pragma once
#include <cstdint>

namespace tsssl {

// The upper half of a float32. Always inlined: kernel sources leave no symbol that the linker could
// merge.
struct Bfloat16 {
  std::uint16_t bits;

  Bfloat16() = default;
  // To nearest, halfway to even; NaN stays NaN.
  __attribute__((always_inline)) explicit Bfloat16(float x) {
    std::uint32_t word;
    __builtin_memcpy(&word, &x, sizeof word);
    const std::uint32_t nearest = (word + 0x7fffu + (word >> 16 & 1u)) >> 16;
    bits = static_cast<std::uint16_t>((word & 0x7fffffffu) > 0x7f800000u ? word >> 16 | 0x40u
                                                                         : nearest);
  }
  __attribute__((always_inline)) explicit Bfloat16(double x) : Bfloat16(static_cast<float>(x)) {}
  __attribute__((always_inline)) operator float() const {
    const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
    float x;
    __builtin_memcpy(&x, &word, sizeof x);
    return x;
  }
};

// What numbers of a type are computed in.
template <class In>
struct ComputedIn {
  typedef In Type;
};
template <>
struct ComputedIn<Bfloat16> {
  typedef float Type;
};
template <class In>
using Computed = typename ComputedIn<In>::Type;

}  // namespace tsssl
