// Written by tools/code_generators/operation_table.py from
// tsssl_fast/ops/augment/operation_table.py, which says what every name means: change that file.
#pragma once

namespace tsssl {
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
  kOffset = 37,
};

constexpr int kArguments = 16;
constexpr int kActs = 0;

namespace column {
constexpr int kCode = 0;
constexpr int kOccurrence = 1;
constexpr int kView = 2;
constexpr int kThreshold = 3;
constexpr int kFixedSlots = 4;
constexpr int kChannelSlots = 5;
constexpr int kParent = 6;
constexpr int kChild = 7;
}  // namespace column

namespace sign_flip {
constexpr int kFlips = 1;
}  // namespace sign_flip

namespace blockout {
constexpr int kLengthUnit = 0;
constexpr int kLengthLow = 1;
constexpr int kLengthHigh = 2;
constexpr int kFill = 3;
constexpr int kChannelsUnit = 4;
constexpr int kChannelsLow = 5;
constexpr int kChannelsHigh = 6;
constexpr int kFillMean = 7;
constexpr int kLength = 1;
constexpr int kStart = 2;
constexpr int kChannels = 3;
constexpr int kFirstChannel = 4;
constexpr int kRatio = 0;
constexpr int kSteps = 1;
constexpr int kSide = 2;
}  // namespace blockout

namespace random_noise {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kNormal = 2;
constexpr int kMagnitude = 1;
}  // namespace random_noise

namespace crop_resize {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kLength = 1;
constexpr int kStart = 2;
}  // namespace crop_resize

namespace magnitude_warp {
constexpr int kMagnitudeLow = 0;
constexpr int kMagnitudeHigh = 1;
constexpr int kPeriodsLow = 2;
constexpr int kPeriodsHigh = 3;
constexpr int kLiteral = 4;
constexpr int kMagnitude = 1;
constexpr int kPeriods = 2;
constexpr int kTheta = 3;
}  // namespace magnitude_warp

namespace time_warp {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kMagnitude = 1;
constexpr int kSpeeds = 2;
}  // namespace time_warp

namespace smooth {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kPasses = 2;
constexpr int kEdge = 3;
constexpr int kMagnitude = 1;
constexpr int kRepeat = 0;
constexpr int kZero = 1;
constexpr int kReflect = 2;
}  // namespace smooth

namespace group {
constexpr int kChoice = 0;
constexpr int kLow = 1;
constexpr int kHigh = 2;
constexpr int kMembers = 3;
constexpr int kWeights = 4;
constexpr int kCount = 1;
constexpr int kMembersAct = 2;
constexpr int kSome = 0;
constexpr int kByWeight = 1;
constexpr int kAll = 2;
}  // namespace group

namespace jitter {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kNormal = 2;
constexpr int kMagnitude = 1;
}  // namespace jitter

namespace random_crop {
constexpr int kLengthUnit = 0;
constexpr int kLengthLow = 1;
constexpr int kLengthHigh = 2;
constexpr int kFill = 3;
constexpr int kLength = 1;
constexpr int kStart = 2;
}  // namespace random_crop

namespace scale {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kNormal = 2;
constexpr int kPerChannel = 3;
constexpr int kMagnitude = 1;
constexpr int kFactors = 2;
}  // namespace scale

namespace time_scale {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kZero = 2;
constexpr int kSpeed = 1;
}  // namespace time_scale

namespace channel_permutation {
constexpr int kSources = 1;
}  // namespace channel_permutation

namespace rotation {
constexpr int kTriples = 0;
constexpr int kChannels = 1;
constexpr int kW = 2;
constexpr int kX = 3;
constexpr int kY = 4;
constexpr int kZ = 5;
}  // namespace rotation

namespace segment_permutation {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kSegments = 1;
constexpr int kOrder = 2;
}  // namespace segment_permutation

namespace time_shift {
constexpr int kShiftUnit = 0;
constexpr int kShiftLow = 1;
constexpr int kShiftHigh = 2;
constexpr int kEdge = 3;
constexpr int kShift = 1;
constexpr int kWrap = 0;
constexpr int kRepeat = 1;
constexpr int kZero = 2;
}  // namespace time_shift

namespace window_slice {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kLength = 1;
constexpr int kStart = 2;
}  // namespace window_slice

namespace window_warp {
constexpr int kLengthUnit = 0;
constexpr int kLengthLow = 1;
constexpr int kLengthHigh = 2;
constexpr int kFactor0 = 3;
constexpr int kFactor1 = 4;
constexpr int kLength = 1;
constexpr int kStart = 2;
constexpr int kFactor = 3;
}  // namespace window_warp

namespace drift {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kRelative = 2;
constexpr int kMagnitude = 1;
constexpr int kKnots = 2;
}  // namespace drift

namespace channel_dropout {
constexpr int kThreshold = 0;
constexpr int kFill = 3;
constexpr int kDropped = 1;
}  // namespace channel_dropout

namespace time_dropout {
constexpr int kSpans = 0;
constexpr int kThreshold = 1;
constexpr int kLeave = 2;
constexpr int kEnter = 3;
constexpr int kPerChannel = 4;
constexpr int kFill = 5;
}  // namespace time_dropout

namespace quantize {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kLevels = 1;
}  // namespace quantize

namespace magnitude_spline {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kMagnitude = 1;
constexpr int kKnots = 2;
}  // namespace magnitude_spline

namespace offset {
constexpr int kLow = 0;
constexpr int kHigh = 1;
constexpr int kOffsets = 1;
}  // namespace offset

namespace uniform {
constexpr int kLow = 0;
constexpr int kHigh = 1;
}  // namespace uniform

// Whether every slot is uniform between the arguments uniform::kLow and kHigh.
constexpr bool draws_uniform(int code) {
  switch (code) {
    case kRandomNoise:
    case kSmooth:
    case kJitter:
    case kTimeScale:
    case kOffset:
      return true;
    default:
      return false;
  }
}

}  // namespace
}  // namespace tsssl
