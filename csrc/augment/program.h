// A program is a list of operations as numbers. The layout is documented in
// tsssl_fast/ops/augment/spec.py.
#pragma once
#include "rng/philox_blocks.h"
#include "series/math.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

enum Code : int {
  kTimeFlip = 1,
  kSignFlip = 2,
  kBlockout = 3,
  kRandomNoise = 4,
  kCropResize = 5,
  kMagnitudeWarp = 6,
  kTimeWarp = 7,
  kSmooth = 8,
  kGroup = 9,
  kChannelFlip = 10,
  kBidirectionalFlip = 11,
  kJitter = 12,
  kRandomCrop = 13,
  kScale = 14,
  kTimeScale = 15,
  kChannelPermutation = 16,
  kRotation = 17,
  kSegmentPermutation = 18,
  kTimeShift = 19,
  kWindowSlice = 20,
  kWindowWarp = 21,
  kDrift = 22,
  kChannelDropout = 23,
  kTimeDropout = 24,
  kQuantize = 25,
  kMagnitudeSpline = 26,
  kIdentity = 27,
};

constexpr int kArguments = 16;

struct Row {
  int code, fixed_slots, channel_slots;
  std::int64_t view;        // -1: every view
  std::uint32_t stream;     // without the view and the purpose
  std::uint64_t threshold;  // of the coin, in 2^-32
  std::int64_t parent;      // row of the group that it belongs to, or -1
  std::int64_t child;       // its number in that group
  double a[kArguments];
  std::int64_t offset;  // of its first slot
  std::int64_t words;   // of its first word, a multiple of 4
};

TSSSL_DEVICE Row parse_row(const double* p) {
  Row row;
  row.code = static_cast<int>(p[0]);
  row.stream = static_cast<std::uint32_t>(p[0]) << 24 | static_cast<std::uint32_t>(p[1]) << 16;
  row.view = static_cast<std::int64_t>(p[2]);
  row.threshold = static_cast<std::uint64_t>(p[3]);
  row.fixed_slots = static_cast<int>(p[4]);
  row.channel_slots = static_cast<int>(p[5]);
  row.parent = static_cast<std::int64_t>(p[6]);
  row.child = static_cast<std::int64_t>(p[7]);
  for (int i = 0; i < kArguments; ++i) row.a[i] = p[8 + i];
  row.offset = row.words = 0;
  return row;
}

// One sample in one view.
struct Subject {
  const KeySchedule* keys;
  std::uint32_t id_lo, id_hi, view;
  std::int64_t channels;
  std::int64_t length;  // steps that are no padding
};

// Purposes of a stream: parameters (0), and one word per element.
constexpr std::uint32_t kElementPurpose = 0x8000u;

// The words of an operation's parameter stream; word i belongs to slot i.
class Words {
 public:
  TSSSL_DEVICE explicit Words(const std::uint32_t* words) : words_(words) {}
  TSSSL_DEVICE std::uint32_t operator()(std::int64_t i) const { return words_[i]; }

 private:
  const std::uint32_t* words_;
};

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
