// Programs on every compiled instruction set: the same bits on all of them and for any number of
// threads, replay of what was drawn, adjoints, and one operation against its definition.
#include "support.h"

namespace {

using support::Real;

constexpr std::int64_t kN = 5, kC = 3, kT = 67, kViews = 2, kSize = kN * kC * kT;
constexpr double kAlways = 4294967296.0, kHalf = kAlways / 2;  // thresholds of the coin
constexpr std::int64_t kLengths[kN] = {67, 30, 1, 66, 17};

// One row of a program, as drawings are parsed from it.
struct Operation {
  double code, threshold, fixed_slots, channel_slots;
  double arguments[8];
};

const Operation kTimeFlip{1, kAlways, 1, 0, {}};
const Operation kCropResize{5, kHalf, 3, 0, {0.5, 0.9}};
const Operation kMagnitudeWarp{6, kAlways, 3, 1, {0.1, 0.4, 1, 3}};
const Operation kSmooth{8, kHalf, 2, 0, {0.2, 0.6, 2, 0}};
const Operation kJitter{12, kAlways, 2, 0, {0.1, 0.3}};
const Operation kScale{14, kAlways, 2, 1, {0.7, 1.3, 0, 1}};
const Operation kTimeShift{19, kHalf, 2, 0, {1, -9, 9, 0}};

struct Program {
  std::vector<double> rows;
  std::int64_t slots = 0;

  explicit Program(const std::vector<Operation>& operations) {
    for (const Operation& o : operations) {
      double row[tsssl::kProgramColumns] = {};
      row[0] = o.code;
      row[1] = double(rows.size());  // its place: a stream of its own
      row[2] = -1;                   // every view
      row[3] = o.threshold;
      row[4] = o.fixed_slots;
      row[5] = o.channel_slots;
      row[6] = -1;  // of no group
      for (int k = 0; k < 8; ++k) row[8 + k] = o.arguments[k];
      slots += tsssl::row_slots(row, kC);
      rows.insert(rows.end(), row, row + tsssl::kProgramColumns);
    }
  }
  tsssl::Draws draws(bool lengths) const {
    const std::int64_t count = std::int64_t(rows.size()) / tsssl::kProgramColumns;
    return {rows.data(), count, {7, 1, 2, 0}, nullptr, lengths ? kLengths : nullptr};
  }
};

template <class T>
tsssl::Series<T> series(const std::vector<T>& x, bool of_views) {
  return {x.data(), of_views ? kSize : 0, kC * kT, kT, 1, kN, kC, kT};
}

template <class T>
std::vector<T> forward(const Program& program, const std::vector<T>& x, bool lengths, int threads,
                       const double* parameters = nullptr) {
  std::vector<T> out(kViews * kSize, T(NAN));
  tsssl::augment_kernels().of(T()).forward(series(x, false), program.draws(lengths), parameters,
                                           kViews, threads, out.data());
  return out;
}

template <class T>
void bits(const char* isa, std::vector<std::vector<T>>& first) {
  const std::vector<T> x = support::normals<T>(kSize, 3);
  const Program programs[] = {Program({kMagnitudeWarp, kCropResize, kJitter}),
                              Program({kTimeShift, kScale, kSmooth, kTimeFlip})};
  std::size_t number = 0;
  for (const Program& program : programs) {
    for (bool lengths : {false, true}) {
      const std::vector<T> found = forward(program, x, lengths, 1);
      bool good = true;
      for (T v : found) good = good && std::isfinite(v);
      for (int threads : {2, 5}) good = good && forward(program, x, lengths, threads) == found;
      support::expect(good, isa, support::bits<T>("any number of threads"));
      std::vector<double> parameters(kViews * kN * program.slots, NAN);
      tsssl::augment_sample_kernel()(program.draws(lengths), kViews, kN, kC, kT, 2,
                                     parameters.data());
      support::expect(forward(program, x, lengths, 3, parameters.data()) == found, isa,
                      support::bits<T>("replay"));
      if (first.size() == number) first.push_back(found);
      support::expect(found == first[number++], isa, support::bits<T>("bits"));
      good = true;
      for (std::int64_t i = 0; lengths && i < kViews * kSize; ++i) {
        const bool padding = i % kT >= kLengths[i / (kC * kT) % kN];
        good = good && (!padding || found[i] == x[i % kSize]);
      }
      support::expect(good, isa, support::bits<T>("padding"));
    }
  }
}

template <class T>
void definition(const char* isa) {
  const std::vector<T> x = support::normals<T>(kSize, 4);
  const std::vector<T> found = forward(Program({kTimeFlip}), x, true, 2);
  bool good = true;
  for (std::int64_t i = 0; i < kViews * kSize; ++i) {
    const std::int64_t at = i % kSize, t = at % kT, length = kLengths[at / (kC * kT)];
    good = good && found[i] == x[t < length ? at - t + length - 1 - t : at];
  }
  support::expect(good, isa, support::bits<T>("time flip"));
}

// <y, A x> = <A^T y, x> for programs that are linear.
void adjoint(const char* isa) {
  const std::vector<double> x = support::normals<double>(kSize, 5);
  const std::vector<double> y = support::normals<double>(kViews * kSize, 6);
  const Program program({kMagnitudeWarp, kCropResize, kTimeShift, kScale, kSmooth, kTimeFlip});
  for (bool lengths : {false, true}) {
    const std::vector<double> out = forward(program, x, lengths, 2);
    std::vector<double> back(kSize, NAN), apart(kViews * kSize, NAN);
    const auto backward = tsssl::augment_kernels().f64.backward;
    backward(series(y, true), program.draws(lengths), nullptr, kViews, 2, true, back.data());
    backward(series(y, true), program.draws(lengths), nullptr, kViews, 3, false, apart.data());
    Real there = 0, here = 0, views = 0, scale = 0;
    for (std::int64_t i = 0; i < kViews * kSize; ++i) {
      there += Real(y[i]) * out[i];
      views += Real(apart[i]) * x[i % kSize];
      scale += std::fabs(Real(y[i]) * out[i]);
    }
    for (std::int64_t i = 0; i < kSize; ++i) here += Real(back[i]) * x[i];
    const Real error = std::fmax(std::fabs(there - here), std::fabs(there - views)) / scale;
    support::expect(error <= 1e-14L, isa, "adjoint", error);
  }
}

}  // namespace

int main() {
  std::vector<std::vector<float>> singles;
  std::vector<std::vector<double>> doubles;
  return support::every_isa([&](const char* isa) {
    bits<float>(isa, singles);
    bits<double>(isa, doubles);
    definition<float>(isa);
    definition<double>(isa);
    adjoint(isa);
  });
}
