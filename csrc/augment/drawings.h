// A call's program and the parameters that its threads draw from it.
#pragma once
#include "augment/draws.h"
#include "runtime/scratch.h"
#include "tsssl/augment.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

// The program, parsed once per call.
class Program {
 public:
  Program(const Draws& draws, std::int64_t channels)
      : draws_(draws),
        rows_(draws.rows + 1),
        numbers_(most_blocks(draws, channels)),
        streams_(most_blocks(draws, channels)),
        keys_(folded(draws.seed)) {
    for (std::int64_t i = 0; i < draws_.rows; ++i) {
      Row& row = rows_[i];
      row = parse_row(draws_.program + i * kProgramColumns);
      row.offset = slots_;
      row.words = 4 * blocks_;
      const std::int64_t slots = row_slots(draws_.program + i * kProgramColumns, channels);
      slots_ += slots;
      for (std::int64_t block = 0; block < (slots + 3) / 4; ++block, ++blocks_) {
        numbers_[blocks_] = static_cast<std::uint64_t>(block);
        streams_[blocks_] = row.stream;
      }
    }
    for (; blocks_ % kBlockGroup != 0; ++blocks_) numbers_[blocks_] = streams_[blocks_] = 0;
  }

  std::int64_t size() const { return draws_.rows; }
  // Parameters of one (view, sample).
  std::int64_t slots() const { return slots_; }
  // The words that they are drawn from, all rows at once: blocks one by one would wait for each
  // other's multiplications (a quarter of a microsecond for seven operations, against 0.05).
  std::int64_t words() const { return 4 * blocks_; }
  void draw_all(const Subject& s, bool all, std::uint32_t* words, double* slots,
                double* spare) const {
    const WordStream stream{s.keys, s.view, s.id_lo, s.id_hi};
    scattered_words(stream, numbers_.get(), streams_.get(), blocks_, words);
    for (std::int64_t r = 0; r < size(); ++r) draw(rows_.get(), r, s, all, words, slots, spare);
  }
  const Row& operator[](std::int64_t i) const { return rows_[i]; }

  Subject subject(std::int64_t view, std::int64_t sample, std::int64_t channels,
                  std::int64_t steps) const {
    const std::int64_t id = draws_.ids != nullptr ? draws_.ids[sample] : sample;
    const std::uint64_t u = static_cast<std::uint64_t>(id);
    return {&keys_,
            static_cast<std::uint32_t>(u),
            static_cast<std::uint32_t>(u >> 32),
            static_cast<std::uint32_t>(view),
            channels,
            draws_.lengths != nullptr ? draws_.lengths[sample] : steps};
  }

 private:
  static Key folded(const std::int64_t* seed) {
    const std::uint64_t first = static_cast<std::uint64_t>(seed[0]);
    Key key{static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(first >> 32)};
    for (int i = 1; i < 4; ++i) key = fold(key, seed[i]);
    return key;
  }
  static std::int64_t most_blocks(const Draws& draws, std::int64_t channels) {
    std::int64_t blocks = kBlockGroup;
    for (std::int64_t i = 0; i < draws.rows; ++i) {
      blocks += (row_slots(draws.program + i * kProgramColumns, channels) + 3) / 4;
    }
    return blocks;
  }

  const Draws& draws_;
  Scratch<Row> rows_;
  Scratch<std::uint64_t> numbers_, streams_;
  std::int64_t slots_ = 0, blocks_ = 0;
  KeySchedule keys_;
};

// What one thread draws into.
struct Drawing {
  double* slots;
  double* spare;
  std::uint32_t* words;
};

class Drawings {
 public:
  Drawings(int threads, const Program& program, std::int64_t channels)
      : slots_(apart(program.slots())),
        spare_(apart(channels + 64)),
        words_(2 * apart(program.words() / 2)),
        numbers_(threads * (slots_ + spare_)),
        all_words_(threads * words_) {}

  Drawing of(int thread) const {
    double* slots = numbers_.get() + thread * (slots_ + spare_);
    return {slots, slots + slots_, all_words_.get() + thread * words_};
  }

 private:
  // Threads share no cache line.
  static std::int64_t apart(std::int64_t doubles) { return doubles / 8 * 8 + 8; }

  std::int64_t slots_, spare_, words_;
  Scratch<double> numbers_;
  Scratch<std::uint32_t> all_words_;
};

// Of one (view, sample): those given, or drawn.
inline const double* parameters_of(const Program& program, const Subject& s, const double* given,
                                   std::int64_t item, const Drawing& own) {
  if (given != nullptr) return given + item * program.slots();
  program.draw_all(s, false, own.words, own.slots, own.spare);
  return own.slots;
}

}  // namespace
}  // namespace TSSSL_ISA
}  // namespace tsssl
