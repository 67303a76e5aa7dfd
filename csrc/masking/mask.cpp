// Masks of several views, and where all of them hide.
#include "masking/draw.h"
#include "masking/samples.h"
#include "runtime/scratch.h"
#include "tsssl/masking.h"

namespace tsssl {
namespace TSSSL_ISA {
namespace {

constexpr std::int64_t kDrawn = 4096;  // units of a task, 1 to 2 ns each

void mask(const MaskSeed& seed, const MaskPlan& plan, Extent e, std::int64_t views,
          bool intersection, int threads, std::uint8_t* out) {
  const Key key = mask_key(seed);
  const KeySchedule keys(key);
  const std::int64_t rows = e.n * e.c, plane = rows * e.t;
  const Scratch<std::int32_t> spares(threads * (plan.runs + 1));
  for_samples(rows, e.t * views, kDrawn, threads, [&](std::int64_t row, int thread) {
    for (std::int64_t v = 0; v < views; ++v) {
      hide_row(seed, key, keys, plan, v, row / e.c, row % e.c, e.t,
               spares.get() + thread * (plan.runs + 1), out + v * plane + row * e.t);
    }
    if (!intersection) return;
    std::uint8_t* both = out + views * plane + row * e.t;
    for (std::int64_t t = 0; t < e.t; ++t) both[t] = 1;
    for (std::int64_t v = 0; v < views; ++v) {
      const std::uint8_t* m = out + v * plane + row * e.t;
      for (std::int64_t t = 0; t < e.t; ++t) both[t] &= m[t];
    }
  });
}

}  // namespace

const MaskKernel& mask_kernel() {
  static constexpr MaskKernel kernel = mask;
  return kernel;
}

}  // namespace TSSSL_ISA
}  // namespace tsssl
