// The parameters of an operation for one (view, sample), in double arithmetic whatever the dtype of
// the series. The definition is tsssl_fast/ops/augment/reference/draws.py.
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

// A length out of `size`: unit 0 is a ratio of it, 1 a whole number; range lo to hi; at least 1.
TSSSL_DEVICE double draw_length(std::uint32_t word, double unit, double lo, double hi,
                                double size) {
  const double length =
      unit == 0 ? floor_of(between(word, lo, hi) * size + 0.5) : whole_between(word, lo, hi);
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

// Which members act.
TSSSL_DEVICE void draw_group(const Row& row, const Words& words, double* slot, double* spare) {
  const double* a = row.arguments;
  const int n = static_cast<int>(a[group::kMembers]);
  double* acts = slot + group::kMembersAct;
  if (a[group::kChoice] == group::kSome) {
    slot[group::kCount] = whole_between(words(group::kCount), a[group::kLow], a[group::kHigh]);
    for (int i = 0; i < n; ++i) spare[i] = static_cast<double>(words(group::kMembersAct + i));
    rank(spare, n, acts);
    for (int i = 0; i < n; ++i) acts[i] = flag(acts[i] < slot[group::kCount]);
  } else if (a[group::kChoice] == group::kByWeight) {
    const double word = static_cast<double>(words(group::kCount));
    slot[group::kCount] = 1;
    int chosen = 0;
    for (int i = 0; i < n - 1; ++i) chosen += word >= a[group::kWeights + i] ? 1 : 0;
    for (int i = 0; i < n; ++i) acts[i] = flag(i == chosen);
  } else {
    slot[group::kCount] = n;
    for (int i = 0; i < n; ++i) acts[i] = 1;
  }
}

// A block of time, or of channels and time. As printed (kSide) it has one side in both directions,
// counted in channels, ends included.
TSSSL_DEVICE void draw_blockout(const Row& row, const Subject& s, const Words& words,
                                double* slot) {
  using namespace blockout;
  const double* a = row.arguments;
  const double length = static_cast<double>(s.length), channels = static_cast<double>(s.channels);
  if (a[kLengthUnit] == kSide) {
    const double side =
        floor_of(between(words(kLength), a[kLengthLow], a[kLengthHigh]) * channels + 0.5) + 1;
    slot[kLength] = clamp(side, 1, length);
    slot[kChannels] = clamp(side, 1, channels);
  } else {
    slot[kLength] =
        draw_length(words(kLength), a[kLengthUnit], a[kLengthLow], a[kLengthHigh], length);
    slot[kChannels] = a[kChannelsUnit] < 0
                          ? channels
                          : draw_length(words(kChannels), a[kChannelsUnit], a[kChannelsLow],
                                        a[kChannelsHigh], channels);
  }
  slot[kStart] = draw_start(words(kStart), slot[kLength], length);
  slot[kFirstChannel] = draw_start(words(kFirstChannel), slot[kChannels], channels);
}

// Of RandomCrop and of WindowWarp.
TSSSL_DEVICE void draw_window(const Row& row, const Subject& s, const Words& words, double* slot) {
  using namespace random_crop;
  const double* a = row.arguments;
  const double length = static_cast<double>(s.length);
  slot[kLength] =
      draw_length(words(kLength), a[kLengthUnit], a[kLengthLow], a[kLengthHigh], length);
  slot[kStart] = draw_start(words(kStart), slot[kLength], length);
}

// Of CropResize and of WindowSlice, in real steps.
TSSSL_DEVICE void draw_crop(const Row& row, const Subject& s, const Words& words, double* slot) {
  using namespace crop_resize;
  const double length = static_cast<double>(s.length);
  const double crop = between(words(kLength), row.arguments[kLow], row.arguments[kHigh]) * length;
  slot[kLength] = crop < 1 ? 1 : crop;
  slot[kStart] = uniform<double>(words(kStart)) * (length - slot[kLength]);
}

TSSSL_DEVICE void draw_magnitude_warp(const Row& row, const Subject& s, const Words& words,
                                      double* slot) {
  using namespace magnitude_warp;
  const double* a = row.arguments;
  slot[kMagnitude] = between(words(kMagnitude), a[kMagnitudeLow], a[kMagnitudeHigh]);
  slot[kPeriods] = between(words(kPeriods), a[kPeriodsLow], a[kPeriodsHigh]);
  for (std::int64_t c = 0; c < s.channels; ++c) {
    slot[kTheta + c] = static_cast<double>(words(kTheta + c)) * (1.0 / 4294967296.0);
  }
}

TSSSL_DEVICE void draw_time_warp(const Row& row, const Words& words, double* slot) {
  using namespace time_warp;
  slot[kMagnitude] = between(words(kMagnitude), row.arguments[kLow], row.arguments[kHigh]);
  for (int k = kSpeeds; k < row.fixed_slots; ++k) {
    slot[k] = 1.0 + slot[kMagnitude] * (uniform<double>(words(k)) * 2.0 - 1.0);
  }
}

// Factors per channel: uniform, or normal around 1.
TSSSL_DEVICE void draw_scale(const Row& row, const Subject& s, const Words& words, double* slot) {
  using namespace scale;
  const double* a = row.arguments;
  const std::int64_t count = a[kPerChannel] == 0 ? 1 : s.channels;
  double* factors = slot + kFactors;
  if (a[kNormal] == 0) {
    slot[kMagnitude] = 0;
    for (std::int64_t c = 0; c < count; ++c) {
      factors[c] = between(words(kFactors + c), a[kLow], a[kHigh]);
    }
  } else {
    slot[kMagnitude] = between(words(kMagnitude), a[kLow], a[kHigh]);
    draw_normals(words, kFactors, count, slot);
    for (std::int64_t c = 0; c < count; ++c) factors[c] = 1.0 + slot[kMagnitude] * factors[c];
  }
  for (std::int64_t c = count; c < s.channels; ++c) factors[c] = factors[0];
}

// A unit quaternion, uniform on the sphere.
TSSSL_DEVICE void draw_rotation(const Words& words, double* slot) {
  draw_normals(words, rotation::kW, 4, slot);
  double* q = slot + rotation::kW;
  const double norm = root((q[0] * q[0] + q[1] * q[1]) + (q[2] * q[2] + q[3] * q[3]));
  for (int i = 0; i < 4; ++i) q[i] = q[i] / norm;
  slot[rotation::kW - 1] = 0;
}

TSSSL_DEVICE void draw_segments(const Row& row, const Words& words, double* slot, double* spare) {
  using namespace segment_permutation;
  const int most = row.fixed_slots - kOrder;
  slot[kSegments] = whole_between(words(kSegments), row.arguments[kLow], row.arguments[kHigh]);
  const int count = static_cast<int>(slot[kSegments]);
  for (int i = 0; i < most; ++i) spare[i] = static_cast<double>(words(kOrder + i));
  rank(spare, count, slot + kOrder);
  for (int i = count; i < most; ++i) slot[kOrder + i] = i;
}

TSSSL_DEVICE void draw_shift(const Row& row, const Subject& s, const Words& words, double* slot) {
  using namespace time_shift;
  const double* a = row.arguments;
  const double length = static_cast<double>(s.length);
  slot[kShift] = a[kShiftUnit] == 0
                     ? floor_of(between(words(kShift), a[kShiftLow], a[kShiftHigh]) * length + 0.5)
                     : whole_between(words(kShift), a[kShiftLow], a[kShiftHigh]);
}

// Size and knots of Drift and of MagnitudeSpline.
TSSSL_DEVICE void draw_curve(const Row& row, const Subject& s, const Words& words, double* slot) {
  const double low = row.arguments[drift::kLow], high = row.arguments[drift::kHigh];
  slot[drift::kMagnitude] = between(words(drift::kMagnitude), low, high);
  draw_normals(words, drift::kKnots, row.channel_slots * s.channels, slot);
}

TSSSL_DEVICE void draw_uniform(const Row& row, const Subject& s, const Words& words, double* slot) {
  const double low = row.arguments[uniform::kLow], high = row.arguments[uniform::kHigh];
  const std::int64_t count = row.fixed_slots + row.channel_slots * s.channels;
  for (std::int64_t i = kActs + 1; i < count; ++i) slot[i] = between(words(i), low, high);
}

// Slots 1, 2, ... of one operation; `spare` has room for the channels and for 64 more.
TSSSL_DEVICE void draw_slots(const Row& row, const Subject& s, const Words& words, double* slot,
                             double* spare) {
  switch (row.code) {
    case kGroup:
      draw_group(row, words, slot, spare);
      break;
    case kSignFlip:
      for (std::int64_t c = 0; c < s.channels * row.channel_slots; ++c) {
        slot[sign_flip::kFlips + c] = flag(words(sign_flip::kFlips + c) < 0x80000000u);
      }
      break;
    case kBlockout:
      draw_blockout(row, s, words, slot);
      break;
    case kRandomCrop:
      draw_window(row, s, words, slot);
      break;
    case kCropResize:
    case kWindowSlice:
      draw_crop(row, s, words, slot);
      break;
    case kMagnitudeWarp:
      draw_magnitude_warp(row, s, words, slot);
      break;
    case kTimeWarp:
      draw_time_warp(row, words, slot);
      break;
    case kScale:
      draw_scale(row, s, words, slot);
      break;
    case kChannelPermutation: {
      constexpr int kFirst = channel_permutation::kSources;
      for (std::int64_t c = 0; c < s.channels; ++c) {
        spare[c] = static_cast<double>(words(kFirst + c));
      }
      rank(spare, s.channels, slot + kFirst);
      break;
    }
    case kRotation:
      draw_rotation(words, slot);
      break;
    case kSegmentPermutation:
      draw_segments(row, words, slot, spare);
      break;
    case kTimeShift:
      draw_shift(row, s, words, slot);
      break;
    case kWindowWarp:
      draw_window(row, s, words, slot);
      slot[window_warp::kFactor] =
          row.arguments[words(window_warp::kFactor) < 0x80000000u ? window_warp::kFactor0
                                                                  : window_warp::kFactor1];
      break;
    case kDrift:
    case kMagnitudeSpline:
      draw_curve(row, s, words, slot);
      break;
    case kChannelDropout:
      for (std::int64_t c = 0; c < s.channels; ++c) {
        const double word = static_cast<double>(words(channel_dropout::kDropped + c));
        slot[channel_dropout::kDropped + c] =
            flag(word < row.arguments[channel_dropout::kThreshold]);
      }
      break;
    case kQuantize:
      slot[quantize::kLevels] = whole_between(
          words(quantize::kLevels), row.arguments[quantize::kLow], row.arguments[quantize::kHigh]);
      break;
    default:
      if (draws_uniform(row.code)) draw_uniform(row, s, words, slot);
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
    acts = acts && group[kActs] != 0 && group[group::kMembersAct + row.child] != 0;
  }
  if (!acts && !all) {
    slot[kActs] = 0;
    return;
  }
  const Words words(all_words + row.words);
  acts = acts && words(kActs) < row.threshold;
  slot[kActs] = flag(acts);
  if (all || acts) draw_slots(row, s, words, slot, spare);
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
