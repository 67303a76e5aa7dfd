// The parameters of an operation for one (view, sample), in double arithmetic whatever the dtype of
// the series. The definition is tsssl_fast/ops/augment/draws.py.
#pragma once
#include "augment/program.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

TSSSL_DEVICE double between(std::uint32_t word, double lo, double hi) {
  return lo + uniform<double>(word) * (hi - lo);
}

TSSSL_DEVICE double whole_between(std::uint32_t word, double lo, double hi) {
  return lo + static_cast<double>(multiply_high(word, static_cast<std::uint32_t>(hi - lo) + 1u));
}

TSSSL_DEVICE double floor_of(double x) {
  const double i = static_cast<double>(static_cast<std::int64_t>(x));
  return i > x ? i - 1 : i;
}

TSSSL_DEVICE double clamp(double x, double lo, double hi) {
  return x < lo ? lo : (x > hi ? hi : x);
}

TSSSL_DEVICE double flag(bool b) { return b ? 1 : 0; }

// A length out of `size`: mode 0 is a share of it, 1 a whole number; range lo to hi; at least 1.
TSSSL_DEVICE double draw_length(std::uint32_t word, double mode, double lo, double hi,
                                double size) {
  const double length =
      mode == 0 ? floor_of(between(word, lo, hi) * size + 0.5) : whole_between(word, lo, hi);
  return clamp(length, 1, size);
}

TSSSL_DEVICE double draw_start(std::uint32_t word, double length, double size) {
  return static_cast<double>(multiply_high(word, static_cast<std::uint32_t>(size - length) + 1u));
}

// out[i]: how many of n keys come before key i; ties go by index.
TSSSL_DEVICE void rank(const double* keys, std::int64_t n, double* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t before = 0;
    for (std::int64_t j = 0; j < n; ++j) {
      before += keys[j] < keys[i] || (keys[j] == keys[i] && j < i) ? 1 : 0;
    }
    out[i] = static_cast<double>(before);
  }
}

// slot[first], slot[first + 1], ...: `count` normals from the words of the same numbers; first is
// even. Several pairs at a time, which the compiler turns into vectors: one by one they were half
// of a pipeline whose operations draw for every channel.
TSSSL_DEVICE void draw_normals(const Words& words, std::int64_t first, std::int64_t count,
                               double* slot) {
  constexpr int kPairs = 8;
  const std::int64_t end = first + count;
  for (std::int64_t i = first; i < end; i += 2 * kPairs) {
    std::uint32_t radius[kPairs], angle[kPairs];
    double z[2][kPairs];
    for (int k = 0; k < kPairs; ++k) {
      const std::int64_t pair = i + 2 * k < end ? i + 2 * k : i;
      radius[k] = words(pair);
      angle[k] = words(pair + 1);
    }
    for (int k = 0; k < kPairs; ++k) {
      const Normals<double> pair = normals<double>(radius[k], angle[k]);
      z[0][k] = pair.first;
      z[1][k] = pair.second;
    }
    for (int k = 0; k < 2 * kPairs && i + k < end; ++k) slot[i + k] = z[k % 2][k / 2];
  }
}

// Which children act. a[0]: 0 some of them, 1 one by weight, 2 all; some: a[1] to a[2] of the a[3]
// children; by weight: a[4], a[5], ... are the thresholds between them.
TSSSL_DEVICE void draw_group(const Row& row, const Words& words, double* slot, double* spare) {
  const int n = static_cast<int>(row.a[3]);
  if (row.a[0] == 0) {
    slot[1] = whole_between(words(1), row.a[1], row.a[2]);
    for (int i = 0; i < n; ++i) spare[i] = static_cast<double>(words(2 + i));
    rank(spare, n, slot + 2);
    for (int i = 0; i < n; ++i) slot[2 + i] = flag(slot[2 + i] < slot[1]);
  } else if (row.a[0] == 1) {
    const double word = static_cast<double>(words(1));
    slot[1] = 1;
    int chosen = 0;
    for (int i = 0; i < n - 1; ++i) chosen += word >= row.a[4 + i] ? 1 : 0;
    for (int i = 0; i < n; ++i) slot[2 + i] = flag(i == chosen);
  } else {
    slot[1] = n;
    for (int i = 0; i < n; ++i) slot[2 + i] = 1;
  }
}

// A block of time, or of channels and time (a[4] 2: a share or number of channels; a[0] 2: the
// side a[1] c in both directions, ends included).
TSSSL_DEVICE void draw_blockout(const Row& row, const Subject& s, const Words& words,
                                double* slot) {
  const double length = static_cast<double>(s.length), channels = static_cast<double>(s.channels);
  if (row.a[0] == 2) {
    const double side = floor_of(between(words(1), row.a[1], row.a[2]) * channels + 0.5) + 1;
    slot[1] = clamp(side, 1, length);
    slot[3] = clamp(side, 1, channels);
  } else {
    slot[1] = draw_length(words(1), row.a[0], row.a[1], row.a[2], length);
    slot[3] =
        row.a[4] < 0 ? channels : draw_length(words(3), row.a[4], row.a[5], row.a[6], channels);
  }
  slot[2] = draw_start(words(2), slot[1], length);
  slot[4] = draw_start(words(4), slot[3], channels);
}

// Factors per channel: a[2] 0 uniform from a[0] to a[1], 1 normal around 1 with deviation from the
// same range; a[3] 0 one for all channels, 1 each its own.
TSSSL_DEVICE void draw_scale(const Row& row, const Subject& s, const Words& words, double* slot) {
  const std::int64_t count = row.a[3] == 0 ? 1 : s.channels;
  if (row.a[2] == 0) {
    slot[1] = 0;
    for (std::int64_t c = 0; c < count; ++c) {
      slot[2 + c] = between(words(2 + c), row.a[0], row.a[1]);
    }
  } else {
    slot[1] = between(words(1), row.a[0], row.a[1]);
    draw_normals(words, 2, count, slot);
    for (std::int64_t c = 0; c < count; ++c) slot[2 + c] = 1.0 + slot[1] * slot[2 + c];
  }
  for (std::int64_t c = count; c < s.channels; ++c) slot[2 + c] = slot[2];
}

// A unit quaternion, uniform on the sphere.
TSSSL_DEVICE void draw_rotation(const Words& words, double* slot) {
  draw_normals(words, 2, 4, slot);
  double* q = slot + 2;
  const double norm = root((q[0] * q[0] + q[1] * q[1]) + (q[2] * q[2] + q[3] * q[3]));
  for (int i = 0; i < 4; ++i) q[i] = q[i] / norm;
  slot[1] = 0;
}

TSSSL_DEVICE void draw_segments(const Row& row, const Words& words, double* slot, double* spare) {
  const int most = row.fixed_slots - 2;
  slot[1] = whole_between(words(1), row.a[0], row.a[1]);
  const int count = static_cast<int>(slot[1]);
  for (int i = 0; i < most; ++i) spare[i] = static_cast<double>(words(2 + i));
  rank(spare, count, slot + 2);
  for (int i = count; i < most; ++i) slot[2 + i] = i;
}

// Slots 1, 2, ... of one operation; `spare` has room for the channels and for 64 more.
TSSSL_DEVICE void draw_slots(const Row& row, const Subject& s, const Words& words, double* slot,
                             double* spare) {
  const double length = static_cast<double>(s.length);
  switch (row.code) {
    case kGroup:
      draw_group(row, words, slot, spare);
      break;
    case kSignFlip:
      for (std::int64_t c = 0; c < s.channels * row.channel_slots; ++c) {
        slot[1 + c] = flag(words(1 + c) < 0x80000000u);
      }
      break;
    case kBlockout:
      draw_blockout(row, s, words, slot);
      break;
    case kRandomCrop:
      slot[1] = draw_length(words(1), row.a[0], row.a[1], row.a[2], length);
      slot[2] = draw_start(words(2), slot[1], length);
      break;
    case kCropResize:
    case kWindowSlice: {
      const double crop = between(words(1), row.a[0], row.a[1]) * length;
      slot[1] = crop < 1 ? 1 : crop;
      slot[2] = uniform<double>(words(2)) * (length - slot[1]);
      break;
    }
    case kMagnitudeWarp:
      slot[1] = between(words(1), row.a[0], row.a[1]);
      slot[2] = between(words(2), row.a[2], row.a[3]);
      for (std::int64_t c = 0; c < s.channels; ++c) {
        slot[3 + c] = static_cast<double>(words(3 + c)) * (1.0 / 4294967296.0);
      }
      break;
    case kTimeWarp:
      slot[1] = between(words(1), row.a[0], row.a[1]);
      for (int k = 2; k < row.fixed_slots; ++k) {
        slot[k] = 1.0 + slot[1] * (uniform<double>(words(k)) * 2.0 - 1.0);
      }
      break;
    case kScale:
      draw_scale(row, s, words, slot);
      break;
    case kChannelPermutation:
      for (std::int64_t c = 0; c < s.channels; ++c) spare[c] = static_cast<double>(words(1 + c));
      rank(spare, s.channels, slot + 1);
      break;
    case kRotation:
      draw_rotation(words, slot);
      break;
    case kSegmentPermutation:
      draw_segments(row, words, slot, spare);
      break;
    case kTimeShift:
      slot[1] = row.a[0] == 0 ? floor_of(between(words(1), row.a[1], row.a[2]) * length + 0.5)
                              : whole_between(words(1), row.a[1], row.a[2]);
      break;
    case kWindowWarp:
      slot[1] = draw_length(words(1), row.a[0], row.a[1], row.a[2], length);
      slot[2] = draw_start(words(2), slot[1], length);
      slot[3] = words(3) < 0x80000000u ? row.a[3] : row.a[4];
      break;
    case kDrift:
    case kMagnitudeSpline:
      slot[1] = between(words(1), row.a[0], row.a[1]);
      draw_normals(words, 2, row.channel_slots * s.channels, slot);
      break;
    case kChannelDropout:
      for (std::int64_t c = 0; c < s.channels; ++c) {
        slot[1 + c] = flag(static_cast<double>(words(1 + c)) < row.a[0]);
      }
      break;
    case kQuantize:
      slot[1] = whole_between(words(1), row.a[0], row.a[1]);
      break;
    case kTimeScale:
    case kRandomNoise:
    case kJitter:
    case kSmooth:
      slot[1] = between(words(1), row.a[0], row.a[1]);
      break;
    default:
      break;
  }
}

// Decides whether row `r` acts and, where it does or `all` is set, draws its parameters from the
// words of all rows. `slots` holds those of the rows before it.
TSSSL_DEVICE void draw(const Row* rows, std::int64_t r, const Subject& s, bool all,
                       const std::uint32_t* all_words, double* slots, double* spare) {
  const Row& row = rows[r];
  double* slot = slots + row.offset;
  bool acts = row.view < 0 || row.view == static_cast<std::int64_t>(s.view);
  if (row.parent >= 0) {
    const double* group = slots + rows[row.parent].offset;
    acts = acts && group[0] != 0 && group[2 + row.child] != 0;
  }
  if (!acts && !all) {
    slot[0] = 0;
    return;
  }
  const Words words(all_words + row.words);
  acts = acts && words(0) < row.threshold;
  slot[0] = flag(acts);
  if (all || acts) draw_slots(row, s, words, slot, spare);
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
