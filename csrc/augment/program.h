// A program is a list of operations as numbers; tsssl_fast/ops/augment/operation_table.py says what
// stands where.
#pragma once
#include <augment/operation_table.h>  // generated: see CMakeLists.txt

#include "rng/philox_blocks.h"
#include "series/math.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

struct Row {
  int code, fixed_slots, channel_slots;
  std::int64_t view;        // -1: every view
  std::uint32_t stream;     // without the view and the purpose
  std::uint64_t threshold;  // of the coin, in 2^-32
  std::int64_t parent;      // row of the group that it belongs to, or -1
  std::int64_t child;       // its number in that group
  double arguments[kArguments];
  std::int64_t offset;  // of its first slot
  std::int64_t words;   // of its first word, a multiple of 4
};

TSSSL_DEVICE Row parse_row(const double* p) {
  Row row;
  row.code = static_cast<int>(p[column::kCode]);
  row.stream = static_cast<std::uint32_t>(p[column::kCode]) << 24 |
               static_cast<std::uint32_t>(p[column::kOccurrence]) << 16;
  row.view = static_cast<std::int64_t>(p[column::kView]);
  row.threshold = static_cast<std::uint64_t>(p[column::kThreshold]);
  row.fixed_slots = static_cast<int>(p[column::kFixedSlots]);
  row.channel_slots = static_cast<int>(p[column::kChannelSlots]);
  row.parent = static_cast<std::int64_t>(p[column::kParent]);
  row.child = static_cast<std::int64_t>(p[column::kChild]);
  for (int i = 0; i < kArguments; ++i) row.arguments[i] = p[column::kChild + 1 + i];
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
