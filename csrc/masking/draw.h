// Masks with exact counts, one row at a time. Selection sampling (Knuth's algorithm S): unit i of m
// is taken with probability (still to take) / (m - i), one random word a unit, in order; no sort,
// and the only dependency from unit to unit is a subtraction.
#pragma once
#include "rng/philox_blocks.h"
#include "tsssl/masking.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr int kMaskChannelShift = 17;
constexpr std::uint32_t kElements = 0x8000u;
constexpr std::int64_t kWordChunk = 256;

inline Key mask_key(const MaskSeed& s) {
  const std::uint64_t seed = static_cast<std::uint64_t>(s.seed);
  Key key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  key = fold(key, s.epoch);
  key = fold(key, s.step);
  return fold(key, s.rank);
}

inline WordStream mask_stream(const MaskSeed& s, const KeySchedule& keys, int code,
                              std::uint32_t purpose, std::int64_t view, std::int64_t sample) {
  const std::int64_t id = s.sample_ids != nullptr ? s.sample_ids[sample] : sample;
  const std::uint64_t bits = static_cast<std::uint64_t>(id);
  return {&keys,
          static_cast<std::uint32_t>(code) << 24 | purpose | static_cast<std::uint32_t>(view),
          static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32)};
}

// Word i of a row's `count` words, read in ascending order.
class RowWords {
 public:
  RowWords(const WordStream& stream, std::int64_t channel, std::int64_t count)
      : stream_(stream), block_(channel << kMaskChannelShift), count_(count) {}

  TSSSL_INLINE std::uint32_t operator()(std::int64_t i) {
    if (i >= end_) refill(i);
    return words_[i & (kWordChunk - 1)];
  }
  // The words from i, a multiple of kWordChunk, to the end of the chunk.
  const std::uint32_t* chunk(std::int64_t i) {
    refill(i);
    return words_;
  }

 private:
  void refill(std::int64_t i) {
    const std::int64_t base = i & ~(kWordChunk - 1);
    const std::int64_t left = count_ - base;
    // Whole groups of 16 blocks: the tail of a vector loop costs more than words nobody reads.
    const std::int64_t blocks = left >= kWordChunk ? kWordChunk / 4 : (left + 63) / 64 * 16;
    stream_words(stream_, static_cast<std::uint32_t>(block_ + base / 4), static_cast<int>(blocks),
                 words_);
    end_ = base + kWordChunk;
  }

  WordStream stream_;
  std::int64_t block_, count_, end_ = 0;
  std::uint32_t words_[kWordChunk];
};

// take(i) in ascending i chooses `count` of `units`; the words start at `first`.
struct Selection {
  std::uint32_t units, left;

  // 1 or 0, without a branch: no processor can guess it.
  TSSSL_INLINE std::uint32_t take(std::int64_t i, std::uint32_t word) {
    const std::uint32_t taken =
        multiply_high(word, units - static_cast<std::uint32_t>(i)) < left ? 1u : 0u;
    left -= taken;
    return taken;
  }
};

inline void hide_units(RowWords& words, const MaskPlan& plan, std::int64_t t, std::uint8_t* out) {
  const std::int64_t size = plan.size, units = (t + size - 1) / size;
  Selection chosen{static_cast<std::uint32_t>(units), static_cast<std::uint32_t>(plan.count)};
  if (size == 1) {
    for (std::int64_t base = 0; base < units; base += kWordChunk) {
      const std::uint32_t* word = words.chunk(base);
      const std::int64_t end = units - base < kWordChunk ? units - base : kWordChunk;
      for (std::int64_t i = 0; i < end; ++i) {
        out[base + i] = static_cast<std::uint8_t>(chosen.take(base + i, word[i]));
      }
    }
    return;
  }
  for (std::int64_t i = 0; i < units; ++i) {
    const std::int64_t begin = i * size, end = begin + size < t ? begin + size : t;
    __builtin_memset(out + begin, static_cast<int>(chosen.take(i, words(i))),
                     static_cast<std::size_t>(end - begin));
  }
}

// A unit is a visible step or a whole span; the span number `shorter` has what is left.
inline void hide_spans(RowWords& words, std::uint32_t second, const MaskPlan& plan, std::int64_t t,
                       std::uint8_t* out) {
  const std::int64_t units = t - plan.count + plan.runs;
  const std::int64_t shorter = multiply_high(second, static_cast<std::uint32_t>(plan.runs));
  const std::int64_t rest = plan.count - (plan.runs - 1) * plan.size;
  Selection chosen{static_cast<std::uint32_t>(units), static_cast<std::uint32_t>(plan.runs)};
  std::int64_t run = 0;
  for (std::int64_t i = 0; i < units; ++i) {
    if (chosen.take(i, words(i)) == 0) {
      *out++ = 0;
      continue;
    }
    const std::int64_t length = run++ == shorter ? rest : plan.size;
    __builtin_memset(out, 1, static_cast<std::size_t>(length));
    out += length;
  }
}

// Words 0 to count - 2: whether a run ends after hidden step j; from count - 1 on: whether one
// starts before visible step g. Without a branch, which half of the steps would mispredict (4.5
// against 2 ns a step): the gaps that runs start in go to `spare`, of runs + 1 numbers, the borders
// of the runs into the row, and a sum modulo 2 over the row fills them.
inline void hide_runs(RowWords& ends, RowWords& starts, const MaskPlan& plan, std::int64_t t,
                      std::int32_t* spare, std::uint8_t* out) {
  const std::int64_t count = plan.count, gaps = t - count + 1;
  Selection starting{static_cast<std::uint32_t>(gaps), static_cast<std::uint32_t>(plan.runs)};
  Selection ending{static_cast<std::uint32_t>(count - 1),
                   static_cast<std::uint32_t>(plan.runs - 1)};
  std::int64_t run = 0;
  for (std::int64_t g = 0; g < gaps; ++g) {
    spare[run] = static_cast<std::int32_t>(g);
    run += starting.take(g, starts(count - 1 + g));
  }
  __builtin_memset(out, 0, static_cast<std::size_t>(t));
  run = 0;
  out[spare[0]] = 1;
  for (std::int64_t j = 0; j < count - 1; ++j) {
    const std::uint32_t ended = ending.take(j, ends(j));
    out[spare[run] + j + 1] ^= static_cast<std::uint8_t>(ended);
    run += ended;
    out[spare[run] + j + 1] ^= static_cast<std::uint8_t>(ended);
  }
  if (spare[run] + count < t) out[spare[run] + count] ^= 1;
  std::uint8_t hidden = 0;
  for (std::int64_t i = 0; i < t; ++i) out[i] = hidden ^= out[i];
}

inline void hide_row(const MaskSeed& seed, Key key, const KeySchedule& keys, const MaskPlan& plan,
                     std::int64_t view, std::int64_t sample, std::int64_t row, std::int64_t t,
                     std::int32_t* spare, std::uint8_t* out) {
  const int code = static_cast<int>(plan.code);
  const WordStream stream = mask_stream(seed, keys, code, kElements, view, sample);
  if (plan.count == 0) {
    __builtin_memset(out, 0, static_cast<std::size_t>(t));
  } else if (plan.code == MaskCode::span) {
    RowWords words(stream, row, t - plan.count + plan.runs);
    const WordStream parameters = mask_stream(seed, keys, code, 0, view, sample);
    const Block b = philox(Block{static_cast<std::uint32_t>(row << kMaskChannelShift),
                                 parameters.stream, parameters.id_lo, parameters.id_hi},
                           key);
    hide_spans(words, b.w1, plan, t, out);
  } else if (plan.code == MaskCode::geometric) {
    // Both read the same words where a row has one chunk of them.
    RowWords ends(stream, row, t), later(stream, row, t);
    hide_runs(ends, t <= kWordChunk ? ends : later, plan, t, spare, out);
  } else {
    RowWords words(stream, row, (t + plan.size - 1) / plan.size);
    hide_units(words, plan, t, out);
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
