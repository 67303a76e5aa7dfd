// Many Philox blocks at once. A 32-bit word travels in a 64-bit lane, because that is where the
// processors' 32 x 32 -> 64 multiplication reads and writes; what gathers in the upper half is
// never read. The words of philox(), at 0.50 ns each where the compiler's own vectors of it take
// 0.88 (AVX-512).
#pragma once
#include "rng/philox.h"
#include "simd/vec.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace tsssl {
namespace TSSSL_ISA {
namespace {

typedef std::uint64_t WideWords __attribute__((vector_size(TSSSL_VECTOR_BYTES)));
constexpr int kWideLanes = TSSSL_VECTOR_BYTES / 8;

// Product of the lower halves of the lanes with a 32-bit number.
TSSSL_INLINE WideWords multiply_halves(WideWords a, std::uint32_t b) {
#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512F__)
  return (WideWords)_mm512_maskz_mul_epu32(0xFF, (__m512i)a, _mm512_set1_epi64(b));
#elif TSSSL_VECTOR_BYTES == 32 && defined(__AVX2__)
  return (WideWords)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#elif TSSSL_VECTOR_BYTES == 16 && defined(__SSE2__)
  return (WideWords)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b));
#else
  return (a & 0xFFFFFFFFu) * static_cast<std::uint64_t>(b);
#endif
}

// The keys of the ten rounds, once per call: broadcasting them anew for every row of 128 steps took
// an eighth of its noise.
struct KeySchedule {
  WideWords lo[10], hi[10];

  explicit KeySchedule(Key key) {
    for (int round = 0; round < 10; ++round) {
      lo[round] = WideWords{} + key.lo;
      hi[round] = WideWords{} + key.hi;
      key.lo += 0x9E3779B9u;
      key.hi += 0xBB67AE85u;
    }
  }
};

struct WordStream {
  const KeySchedule* keys;
  std::uint32_t stream, id_lo, id_hi;
};

// kWideLanes blocks, their words in order.
TSSSL_INLINE void wide_blocks(WideWords number, WideWords stream, const WordStream& s,
                              std::uint32_t* words) {
  WideWords c0 = number, c1 = stream, c2 = WideWords{} + s.id_lo, c3 = WideWords{} + s.id_hi;
  for (int round = 0; round < 10; ++round) {
    const WideWords p0 = multiply_halves(c0, 0xD2511F53u), p1 = multiply_halves(c2, 0xCD9E8D57u);
    c0 = (p1 >> 32) ^ c1 ^ s.keys->lo[round];
    c1 = p1;
    c2 = (p0 >> 32) ^ c3 ^ s.keys->hi[round];
    c3 = p0;
  }
  const WideWords front = (c0 & 0xFFFFFFFFu) | (c1 << 32);
  const WideWords back = (c2 & 0xFFFFFFFFu) | (c3 << 32);
  std::uint64_t pairs[2 * kWideLanes];
  for (int i = 0; i < kWideLanes; ++i) {
    pairs[2 * i] = front[i];
    pairs[2 * i + 1] = back[i];
  }
  __builtin_memcpy(words, pairs, sizeof pairs);
}

// The words of `blocks` consecutive blocks from number `first`, in order; `blocks` is a multiple of
// kWideLanes.
inline void stream_words(const WordStream& s, std::uint32_t first, int blocks,
                         std::uint32_t* words) {
  WideWords number;
  for (int i = 0; i < kWideLanes; ++i) number[i] = first + static_cast<std::uint64_t>(i);
  for (int q = 0; q < blocks; q += kWideLanes, number += kWideLanes) {
    wide_blocks(number, WideWords{} + s.stream, s, words + 4 * q);
  }
}

// The words of `count` blocks that differ in number and stream; `count` is a multiple of
// kWideLanes. s.stream is set in all of them.
inline void scattered_words(const WordStream& s, const std::uint64_t* numbers,
                            const std::uint64_t* streams, std::int64_t count,
                            std::uint32_t* words) {
  for (std::int64_t q = 0; q < count; q += kWideLanes) {
    WideWords number, stream;
    __builtin_memcpy(&number, numbers + q, sizeof number);
    __builtin_memcpy(&stream, streams + q, sizeof stream);
    stream |= static_cast<std::uint64_t>(s.stream);
    wide_blocks(number, stream, s, words + 4 * q);
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
