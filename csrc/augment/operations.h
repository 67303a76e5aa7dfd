// The operations on the c x t block of one (view, sample), and their adjoints: those that move
// steps or channels are here, the others in pointwise.h.
#pragma once
#include "augment/moves.h"
#include "augment/pointwise.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// Working memory of one thread.
template <class T>
struct Workspace {
  T* weight;           // t
  std::int32_t* left;  // t
};

TSSSL_DEVICE bool interpolates(int code) {
  return code == kCropResize || code == kWindowSlice || code == kTimeWarp || code == kTimeScale ||
         code == kWindowWarp;
}

TSSSL_DEVICE bool gathers(int code) { return code == kSegmentPermutation || code == kTimeShift; }

// How many times an operation moves the block to the other buffer.
TSSSL_DEVICE int moves(const Row& row, std::int64_t length) {
  if (interpolates(row.code)) return length > 1 ? 1 : 0;
  if (row.code == kSmooth) return static_cast<int>(row.arguments[smooth::kPasses]);
  return gathers(row.code) || row.code == kTimeFlip || row.code == kChannelFlip ||
         row.code == kBidirectionalFlip || row.code == kChannelPermutation;
}

template <class T>
inline void time_map(const Row& row, const double* slot, std::int64_t length,
                     const Workspace<T>& work) {
  switch (row.code) {
    case kTimeWarp:
      warp_positions(slot + time_warp::kSpeeds, row.fixed_slots - time_warp::kSpeeds, length,
                     work.left, work.weight);
      break;
    case kTimeScale:
      line_positions(0.0, slot[time_scale::kSpeed], length, work.left, work.weight);
      break;
    case kWindowWarp:
      window_positions(slot[window_warp::kLength], slot[window_warp::kStart],
                       slot[window_warp::kFactor], length, work.left, work.weight);
      break;
    case kSegmentPermutation:
      segment_sources(slot + segment_permutation::kOrder,
                      static_cast<int>(slot[segment_permutation::kSegments]), length, work.left);
      break;
    case kTimeShift:
      shift_sources(slot[time_shift::kShift], static_cast<int>(row.arguments[time_shift::kEdge]),
                    length, work.left);
      break;
    default:
      line_positions(slot[crop_resize::kStart],
                     (slot[crop_resize::kLength] - 1.0) / static_cast<double>(length - 1), length,
                     work.left, work.weight);
  }
}

// First step that a stretched series does not reach and that is to be zero.
TSSSL_DEVICE std::int64_t reach(const Row& row, const double* slot, std::int64_t length) {
  if (row.code != kTimeScale || row.arguments[time_scale::kZero] == 0) return length;
  std::int64_t t = length;
  while (t > 0 && step_number(t - 1) * slot[time_scale::kSpeed] > static_cast<double>(length - 1))
    --t;
  return t;
}

TSSSL_DEVICE std::int64_t source_channel(const Row& row, const double* slot, std::int64_t channels,
                                         std::int64_t c) {
  if (row.code == kTimeFlip) return c;
  return row.code == kChannelPermutation
             ? static_cast<std::int64_t>(slot[channel_permutation::kSources + c])
             : channels - 1 - c;
}

// Operations that move steps or channels; each swaps the buffers as often as `moves` says.
template <class T>
inline void move_block(const Row& row, const double* slot, const Subject& s, bool adjoint,
                       const Workspace<T>& work, DoubleBuffer<T>& b) {
  const std::int64_t length = s.length;
  if (row.code == kSmooth) {
    const double magnitude = slot[smooth::kMagnitude];
    const T side = static_cast<T>(magnitude * 0.5), centre = static_cast<T>(1.0 - magnitude);
    const Edge edge = static_cast<Edge>(static_cast<int>(row.arguments[smooth::kEdge]));
    for (int pass = 0; pass < moves(row, length); ++pass) {
      b.each_channel(s.channels, [&](const T* x, T* y) {
        adjoint ? smooth_adjoint(x, y, length, centre, side, edge)
                : smooth(x, y, length, centre, side, edge);
      });
      b.swap();
    }
    return;
  }
  if (interpolates(row.code)) {
    time_map(row, slot, length, work);
    const std::int64_t end = reach(row, slot, length);
    if (!adjoint) interpolate(b.x, b.other, s.channels, b.t, length, work.left, work.weight);
    b.each_channel(s.channels, [&](T* x, T* y) {
      fill(adjoint ? x : y, end, length, T(0));
      if (adjoint) interpolate_adjoint(x, y, length, work.left, work.weight);
    });
  } else if (gathers(row.code)) {
    time_map(row, slot, length, work);
    b.each_channel(s.channels, [&](const T* x, T* y) {
      adjoint ? gather_adjoint(x, y, length, work.left) : gather(x, y, length, work.left);
    });
  } else {
    for (std::int64_t c = 0; c < s.channels; ++c) {
      const std::int64_t source = source_channel(row, slot, s.channels, c);
      const T* x = b.x + (adjoint ? c : source) * b.t;
      T* y = b.other + (adjoint ? source : c) * b.t;
      if (row.code == kTimeFlip || row.code == kBidirectionalFlip) {
        reverse(x, y, length);
      } else {
        __builtin_memcpy(y, x, static_cast<std::size_t>(length) * sizeof(T));
      }
    }
  }
  b.swap();
}

template <class T>
inline void apply(const Row& row, const double* slot, const Subject& s, const Workspace<T>& work,
                  DoubleBuffer<T>& b) {
  if (moves(row, s.length) > 0) {
    move_block(row, slot, s, false, work, b);
  } else {
    in_place(row, slot, s, false, b);
    add(row, slot, s, b);
  }
}

template <class T>
inline void apply_adjoint(const Row& row, const double* slot, const Subject& s,
                          const Workspace<T>& work, DoubleBuffer<T>& b) {
  if (moves(row, s.length) > 0) {
    move_block(row, slot, s, true, work, b);
  } else {
    in_place(row, slot, s, true, b);
  }
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
