// Philox4x32-10 (Salmon et al., SC'11) and the conversions from its words, the same bits as
// tsssl_fast/rng.py. Scalar functions without host-only constructs: the compiler turns a loop over
// them into vectors, and a device compiler can build the same source.
#pragma once
#include <cstdint>

#ifndef TSSSL_ISA
#error "compile through CMakeLists.txt, which defines TSSSL_ISA"
#endif

#if defined(__CUDACC__)
#define TSSSL_DEVICE __host__ __device__ inline
#else
#define TSSSL_DEVICE inline __attribute__((always_inline))
#endif

namespace tsssl {
namespace TSSSL_ISA {
namespace {

struct Key {
  std::uint32_t lo, hi;
};

struct Block {
  std::uint32_t w0, w1, w2, w3;
};

TSSSL_DEVICE std::uint32_t multiply_high(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(a) * b) >> 32);
}

TSSSL_DEVICE Block philox(Block c, Key key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = static_cast<std::uint64_t>(c.w0) * 0xD2511F53u;
    const std::uint64_t p1 = static_cast<std::uint64_t>(c.w2) * 0xCD9E8D57u;
    c = Block{static_cast<std::uint32_t>(p1 >> 32) ^ c.w1 ^ key.lo, static_cast<std::uint32_t>(p1),
              static_cast<std::uint32_t>(p0 >> 32) ^ c.w3 ^ key.hi, static_cast<std::uint32_t>(p0)};
    key.lo += 0x9E3779B9u;
    key.hi += 0xBB67AE85u;
  }
  return c;
}

// A new key from a key and a 64-bit value; folding, unlike adding, keeps (seed, epoch, step, rank)
// apart: (1, 0) and (0, 1) do not meet.
TSSSL_DEVICE Key fold(Key key, std::int64_t value) {
  const std::uint64_t v = static_cast<std::uint64_t>(value);
  const Block b =
      philox(Block{static_cast<std::uint32_t>(v), static_cast<std::uint32_t>(v >> 32), 0, 0}, key);
  return Key{b.w0, b.w1};
}

// Uniform on [0, 1): 24 bits, exact in every floating type that computes here.
template <class T>
TSSSL_DEVICE T uniform(std::uint32_t word) {
  return static_cast<T>(static_cast<std::int32_t>(word & 0xFFFFFFu)) * T(1.0 / 16777216.0);
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
