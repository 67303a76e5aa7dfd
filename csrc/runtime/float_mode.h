// Arithmetic as IEEE 754 has it by default, while one stands: rounding to nearest, subnormal
// numbers kept. torch.set_flush_denormal(True) changes the calling thread alone and the threads
// that it starts later: results would depend on the number of threads.
#pragma once
#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace tsssl {
namespace {

class FloatMode {
 public:
  FloatMode() : before_(read()) {
    if (before_ & kMode) write(before_ & ~kMode);
  }
  // What was signalled in between stays signalled.
  ~FloatMode() {
    if (before_ & kMode) write(read() | (before_ & kMode));
  }
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
#if defined(__x86_64__) || defined(_M_X64)
  // MXCSR: flush to zero, rounding, subnormal inputs as zeros.
  static constexpr std::uint64_t kMode = 0x8000 | 0x6000 | 0x0040;
  static std::uint64_t read() { return _mm_getcsr(); }
  static void write(std::uint64_t mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__)
  // FPCR: flush to zero, rounding, flush to zero of 16-bit numbers.
  static constexpr std::uint64_t kMode = 1u << 24 | 3u << 22 | 1u << 19;
  static std::uint64_t read() {
    std::uint64_t mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  static void write(std::uint64_t mode) { asm volatile("msr fpcr, %0" : : "r"(mode)); }
#else
  static constexpr std::uint64_t kMode = 0;
  static std::uint64_t read() { return 0; }
  static void write(std::uint64_t) {}
#endif

  std::uint64_t before_;
};

}  // namespace
}  // namespace tsssl
