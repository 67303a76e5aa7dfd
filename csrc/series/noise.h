// Random words added to one channel, a contiguous row of `length` steps.
#pragma once
#include "rng/philox_blocks.h"
#include "series/math.h"
#include "simd/part.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// One Philox block feeds 4 consecutive steps of a channel; the block index leaves 2^17 blocks to a
// channel, so that neither the number of steps nor of channels moves the others' words.
constexpr int kChannelShift = 17;
constexpr int kChunk = 256;  // steps at a time where values wait in a buffer

// amplitude (2^-23 u - 1), u of 24 bits, rounded once: the bracket is exact. Nor does a fused
// product round before its end, where 2^-23 amplitude is exact as well.
template <bool kFused>
TSSSL_INLINE Vec<float> centred(Vec<float> u, float amplitude) {
#if TSSSL_VECTOR_BYTES == 64 && defined(__AVX512F__)
  if (kFused) {
    const __m512 step = _mm512_set1_ps(amplitude * (1.f / 8388608.f));
    return (Vec<float>)_mm512_fmsub_ps((__m512)u, step, _mm512_set1_ps(amplitude));
  }
#endif
  return (u * (1.f / 8388608.f) - 1.f) * amplitude;
}

// x += amplitude r, r uniform on [-1, 1); the words go from the generator's registers into the
// steps.
template <bool kFused>
TSSSL_INLINE void add_centred(float* x, std::int64_t length, std::int64_t channel, float amplitude,
                              const StreamBlocks& stream) {
  constexpr int kLanes = Simd<float>::kLanes;
  const auto noise = [=](WideWords words) {
    const auto u = __builtin_convertvector((IntVec<float>)words & 0xFFFFFF, Vec<float>);
    return centred<kFused>(u, amplitude);
  };
  WideWords number = StreamBlocks::numbers(static_cast<std::uint32_t>(channel << kChannelShift));
  const auto add = [=](const WideWords* words, std::int64_t t, int count) {
    for (int k = 0; k < count && t < length; ++k, t += kLanes) {
      if (t + kLanes <= length) {
        store(x + t, load(x + t) + noise(words[k]));
      } else {
        store_part(x + t, load_part(x + t, length - t, 0.f) + noise(words[k]), length - t);
      }
    }
  };
  constexpr int kWide = kMostSides * kWideLanes;
  std::int64_t t = 0;
  for (; t + 4 * kWide <= length; t += 4 * kWide, number += kWide) {
    const auto w = stream.template group<kMostSides>(number);
    for (int k = 0; k < 2 * kMostSides; ++k) {
      store(x + t + k * kLanes, load(x + t + k * kLanes) + noise(w.part[k]));
    }
  }
  for (; t < length; t += 4 * kBlockGroup, number += kBlockGroup) {
    add(stream.template group<kSides>(number).part, t, 2 * kSides);
  }
}

TSSSL_INLINE bool add_uniform(float* x, std::int64_t length, std::int64_t channel, float amplitude,
                              const StreamBlocks& stream) {
  const bool ordinary = amplitude > 1e-30f && amplitude < 1e30f;
  if (ordinary) {
    add_centred<true>(x, length, channel, amplitude, stream);
  } else {
    add_centred<false>(x, length, channel, amplitude, stream);
  }
  return true;
}
TSSSL_INLINE bool add_uniform(double*, std::int64_t, std::int64_t, double, const StreamBlocks&) {
  return false;
}

// x += amplitude r, r uniform on [-1, 1) or standard normal.
template <class T>
TSSSL_INLINE void add_noise(T* x, std::int64_t length, std::int64_t channel, T amplitude,
                            bool normal, const StreamBlocks& stream) {
  if (!normal && add_uniform(x, length, channel, amplitude, stream)) return;
  std::uint32_t words[kChunk];
  T r[kChunk];
  for (std::int64_t t = 0; t < length; t += kChunk) {
    const int count = static_cast<int>(length - t < kChunk ? length - t : kChunk);
    // Whole groups of 16 blocks: the tail of a vector loop costs more than words that nobody reads.
    const int blocks = (count + 63) / 64 * 16;
    stream.words(static_cast<std::uint32_t>((channel << kChannelShift) + t / 4), blocks, words);
    if (normal) {
      for (int i = 0; i < 2 * blocks; ++i) {
        const Normals<T> z = normals<T>(words[2 * i], words[2 * i + 1]);
        r[2 * i] = z.first;
        r[2 * i + 1] = z.second;
      }
    } else {
      for (int i = 0; i < 4 * blocks; ++i) r[i] = uniform<T>(words[i]) * T(2) - T(1);
    }
    for (int i = 0; i < count; ++i) x[t + i] = x[t + i] + r[i] * amplitude;
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
