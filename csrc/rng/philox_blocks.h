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

TSSSL_INLINE WideWords halves_swapped(WideWords a) {
#if defined(__GNUC__) && !defined(__clang__)
  typedef std::uint32_t Halves __attribute__((vector_size(TSSSL_VECTOR_BYTES)));
  Halves other;
  for (int i = 0; i < 2 * kWideLanes; ++i) other[i] = static_cast<std::uint32_t>(i ^ 1);
  return (WideWords)__builtin_shuffle((Halves)a, other);
#else
  return a >> 32 | a << 32;
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

// Blocks that are computed together: every round waits for the last one's products, and two vectors
// of blocks side by side keep the multipliers busy (0.50 to 0.38 ns a word on AVX-512; four 0.34,
// where a row has as many and the processor the registers).
constexpr int kSides = 2;
constexpr int kMostSides = TSSSL_VECTOR_BYTES == 64 ? 4 : kSides;
constexpr int kBlockGroup = kSides * kWideLanes;

template <int kCount>
struct WideState {
  WideWords c0[kCount], c1[kCount], c2[kCount], c3[kCount];
};

// The words of kCount kWideLanes blocks, in order.
template <int kCount>
struct OrderedWords {
  WideWords part[2 * kCount];
};

// Rounds `from` to 9, the last one straight into the words as they are packed.
template <int kCount>
TSSSL_INLINE OrderedWords<kCount> last_rounds(WideState<kCount> s, const KeySchedule& keys,
                                              int from) {
#pragma GCC unroll 9
  for (int round = from; round < 9; ++round) {
    WideWords p0[kCount], p1[kCount];
    for (int k = 0; k < kCount; ++k) {
      p0[k] = multiply_halves(s.c0[k], 0xD2511F53u);
      p1[k] = multiply_halves(s.c2[k], 0xCD9E8D57u);
    }
    for (int k = 0; k < kCount; ++k) {
      s.c0[k] = (p1[k] >> 32) ^ s.c1[k] ^ keys.lo[round];
      s.c2[k] = (p0[k] >> 32) ^ s.c3[k] ^ keys.hi[round];
      s.c1[k] = p1[k];
      s.c3[k] = p0[k];
    }
  }
  OrderedWords<kCount> words;
  for (int k = 0; k < kCount; ++k) {
    const WideWords p0 = multiply_halves(s.c0[k], 0xD2511F53u);
    const WideWords p1 = multiply_halves(s.c2[k], 0xCD9E8D57u);
    const WideWords front = halves_swapped(p1) ^ ((s.c1[k] & 0xFFFFFFFFu) ^ keys.lo[9]);
    const WideWords back = halves_swapped(p0) ^ ((s.c3[k] & 0xFFFFFFFFu) ^ keys.hi[9]);
    WideWords low, high;
    for (int i = 0; i < kWideLanes; ++i) {
#if defined(__GNUC__) && !defined(__clang__)
      low[i] = static_cast<std::uint64_t>(i / 2 + (i % 2) * kWideLanes);
      high[i] = low[i] + kWideLanes / 2;
#else
      low[i] = i % 2 == 0 ? front[i / 2] : back[i / 2];
      high[i] = i % 2 == 0 ? front[(i + kWideLanes) / 2] : back[(i + kWideLanes) / 2];
#endif
    }
#if defined(__GNUC__) && !defined(__clang__)
    low = __builtin_shuffle(front, back, low);
    high = __builtin_shuffle(front, back, high);
#endif
    words.part[2 * k] = low;
    words.part[2 * k + 1] = high;
  }
  return words;
}

// Blocks of one stream. They differ in their number alone, which reaches half of the state after
// the first round and three quarters after the second: the rest is computed once.
class StreamBlocks {
 public:
  TSSSL_INLINE explicit StreamBlocks(const WordStream& s) : keys_(*s.keys) {
    const WideWords p1 = multiply_halves(WideWords{} + s.id_lo, 0xCD9E8D57u);
    const WideWords c0 = (p1 >> 32) ^ s.stream ^ keys_.lo[0];
    const WideWords p0 = multiply_halves(c0, 0xD2511F53u);
    second_ = s.id_hi ^ keys_.hi[0];
    c0_ = p1 ^ keys_.lo[1];
    c2_ = (p0 >> 32) ^ keys_.hi[1];
    c3_ = p0;
  }

  // `number` those of the first kWideLanes; the others follow.
  template <int kCount>
  TSSSL_INLINE OrderedWords<kCount> group(WideWords number) const {
    WideState<kCount> s;
    for (int k = 0; k < kCount; ++k) {
      const WideWords p0 =
          multiply_halves(number + static_cast<std::uint64_t>(k * kWideLanes), 0xD2511F53u);
      const WideWords p1 = multiply_halves((p0 >> 32) ^ second_, 0xCD9E8D57u);
      s.c0[k] = (p1 >> 32) ^ c0_;
      s.c1[k] = p1;
      s.c2[k] = p0 ^ c2_;
      s.c3[k] = c3_;
    }
    return last_rounds(s, keys_, 2);
  }

  // first, first + 1, ...
  TSSSL_INLINE static WideWords numbers(std::uint32_t first) {
    WideWords number;
    for (int i = 0; i < kWideLanes; ++i) number[i] = static_cast<std::uint64_t>(i);
    return number + static_cast<std::uint64_t>(first);
  }

  // The words of `count` consecutive blocks from number `first`, in order; `count` is a multiple of
  // kBlockGroup.
  TSSSL_INLINE void words(std::uint32_t first, int count, std::uint32_t* out) const {
    WideWords number = numbers(first);
    for (int q = 0; q < count; q += kBlockGroup, number += kBlockGroup) {
      const OrderedWords<kSides> w = group<kSides>(number);
      __builtin_memcpy(out + 4 * q, &w, sizeof w);
    }
  }

 private:
  const KeySchedule& keys_;
  WideWords second_, c0_, c2_, c3_;
};

inline void stream_words(const WordStream& s, std::uint32_t first, int count, std::uint32_t* out) {
  StreamBlocks(s).words(first, count, out);
}

// The words of `count` blocks that differ in number and stream; `count` is a multiple of
// kBlockGroup. s.stream is set in all of them.
inline void scattered_words(const WordStream& s, const std::uint64_t* numbers,
                            const std::uint64_t* streams, std::int64_t count,
                            std::uint32_t* words) {
  for (std::int64_t q = 0; q < count; q += kBlockGroup) {
    WideState<kSides> state;
    __builtin_memcpy(state.c0, numbers + q, sizeof state.c0);
    __builtin_memcpy(state.c1, streams + q, sizeof state.c1);
    for (int k = 0; k < kSides; ++k) {
      state.c1[k] |= static_cast<std::uint64_t>(s.stream);
      state.c2[k] = WideWords{} + s.id_lo;
      state.c3[k] = WideWords{} + s.id_hi;
    }
    const OrderedWords<kSides> w = last_rounds(state, *s.keys, 0);
    __builtin_memcpy(words + 4 * q, &w, sizeof w);
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
