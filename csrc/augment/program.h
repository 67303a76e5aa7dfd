// A program is a list of operations as numbers; its parameters are drawn per (view, sample) in
// double arithmetic, whatever the dtype of the series. The layout is documented, and the draws are
// defined, in tsssl_fast/ops/augment/{spec,draws}.py.
#pragma once
#include "rng/philox.h"

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
};

constexpr int kArguments = 8;

struct Row {
  int code, fixed_slots, channel_slots;
  std::int64_t view;        // -1: every view
  std::uint32_t stream;     // without the view and the purpose
  std::uint64_t threshold;  // of the coin, in 2^-32
  double a[kArguments];
  std::int64_t offset;  // of its first slot
};

TSSSL_DEVICE Row parse_row(const double* p) {
  Row row;
  row.code = static_cast<int>(p[0]);
  row.stream = static_cast<std::uint32_t>(p[0]) << 24 | static_cast<std::uint32_t>(p[1]) << 16;
  row.view = static_cast<std::int64_t>(p[2]);
  row.threshold = static_cast<std::uint64_t>(p[3]);
  row.fixed_slots = static_cast<int>(p[4]);
  row.channel_slots = static_cast<int>(p[5]);
  for (int i = 0; i < kArguments; ++i) row.a[i] = p[8 + i];
  row.offset = 0;
  return row;
}

// One sample in one view.
struct Subject {
  Key key;
  std::uint32_t id_lo, id_hi, view;
  std::int64_t channels, length;
};

// Purposes of a stream: parameters, and one word per element.
constexpr std::uint32_t kElementPurpose = 0x8000u;

// The words of an operation's parameter stream; word i belongs to slot i.
class Words {
 public:
  TSSSL_DEVICE Words(const Row& row, const Subject& s)
      : key_(s.key), id_lo_(s.id_lo), id_hi_(s.id_hi), stream_(row.stream | s.view) {
    fetch(0);
  }
  TSSSL_DEVICE std::uint32_t operator()(std::int64_t i) {
    if (i >> 2 != block_) fetch(i >> 2);
    return words_[i & 3];
  }

 private:
  TSSSL_DEVICE void fetch(std::int64_t block) {
    block_ = block;
    const Block b = philox(Block{static_cast<std::uint32_t>(block), stream_, id_lo_, id_hi_}, key_);
    words_[0] = b.w0;
    words_[1] = b.w1;
    words_[2] = b.w2;
    words_[3] = b.w3;
  }
  Key key_;
  std::uint32_t id_lo_, id_hi_, stream_, words_[4];
  std::int64_t block_ = -1;
};

TSSSL_DEVICE double between(std::uint32_t word, double lo, double hi) {
  return lo + uniform<double>(word) * (hi - lo);
}

// Block length in steps: a[0] is 0 for a ratio of the length, 1 for steps; range a[1], a[2].
TSSSL_DEVICE double draw_block(std::uint32_t word, const Row& row, std::int64_t length) {
  if (row.a[0] == 0) {
    const double steps = static_cast<double>(static_cast<std::int64_t>(
        between(word, row.a[1], row.a[2]) * static_cast<double>(length) + 0.5));
    return steps < 1 ? 1 : (steps > length ? static_cast<double>(length) : steps);
  }
  const std::uint32_t count = static_cast<std::uint32_t>(row.a[2] - row.a[1]) + 1u;
  return row.a[1] + static_cast<double>(multiply_high(word, count));
}

// Slots 1, 2, ... of one operation. Slot 0, whether it acts, is the caller's.
TSSSL_DEVICE void draw_slots(const Row& row, const Subject& s, Words& words, double* slot) {
  const double length = static_cast<double>(s.length);
  switch (row.code) {
    case kBlockout: {
      slot[1] = draw_block(words(1), row, s.length);
      const std::uint32_t starts = static_cast<std::uint32_t>(length - slot[1]) + 1u;
      slot[2] = static_cast<double>(multiply_high(words(2), starts));
      break;
    }
    case kCropResize: {
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
    case kRandomNoise:
    case kSmooth:
      slot[1] = between(words(1), row.a[0], row.a[1]);
      break;
    default:
      break;
  }
}

// Decides whether the operation acts and, where it does or `all` is set, draws its parameters.
TSSSL_DEVICE void draw(const Row& row, const Subject& s, bool all, double* slot) {
  Words words(row, s);
  const bool here = row.view < 0 || row.view == static_cast<std::int64_t>(s.view);
  slot[0] = here && words(0) < row.threshold ? 1 : 0;
  if (all || slot[0] != 0) draw_slots(row, s, words, slot);
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
