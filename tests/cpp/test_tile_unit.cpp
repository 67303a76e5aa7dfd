// The tensor unit and its emulation: the same bits, for numbers of every size.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>

#include "runtime/isa.h"

namespace tsssl {
namespace amx_emulated {
void tile_products(const void* left, const void* right, float* results);
}
namespace amx {
#ifdef TSSSL_HAVE_amx
void tile_products(const void* left, const void* right, float* results);
#else
using amx_emulated::tile_products;
#endif
}  // namespace amx
#ifdef TSSSL_HAVE_avx512bf16
namespace avx512bf16 {
void tile_products(const void* left, const void* right, float* results);
}
#endif
}  // namespace tsssl

namespace {

using Products = void (*)(const void* left, const void* right, float* results);

constexpr int kNumbers = 2 * 512, kResults = 4 * 256;

struct Operands {
  alignas(64) std::uint16_t left[kNumbers], right[kNumbers];
  alignas(64) float results[kResults];
};

float number(std::uint16_t x) {
  const std::uint32_t word = std::uint32_t{x} << 16;
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

std::uint16_t bf16(float x) {
  std::uint32_t word;
  std::memcpy(&word, &x, sizeof word);
  return static_cast<std::uint16_t>(word >> 16);
}

// Exponents within `spread` of `middle`.
Operands random_operands(std::mt19937& generator, int middle, int spread) {
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int> exponent(middle - spread, middle + spread);
  const auto draw = [&] { return std::ldexp(normal(generator), exponent(generator)); };
  Operands x;
  for (auto& value : x.left) value = bf16(draw());
  for (auto& value : x.right) value = bf16(draw());
  for (auto& value : x.results) value = draw();
  return x;
}

int failures = 0;

// Against sums in double, where nothing is flushed.
void check_definition(const Operands& x, Products products) {
  Operands found = x;
  products(found.left, found.right, found.results);
  for (int t = 0; t < 4; ++t) {
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 16; ++n) {
        double sum = x.results[t * 256 + m * 16 + n], size = std::fabs(sum);
        for (int k = 0; k < 32; ++k) {
          const double term = double(number(x.left[t / 2 * 512 + m * 32 + k])) *
                              number(x.right[t % 2 * 512 + k / 2 * 32 + 2 * n + k % 2]);
          sum += term;
          size += std::fabs(term);
        }
        const double error = std::fabs(found.results[t * 256 + m * 16 + n] - sum);
        if (!(error <= size * 20 * 0x1p-24)) ++failures;
      }
    }
  }
}

}  // namespace

int main() {
  std::mt19937 generator(1);
  const auto check = [&](Products products) {
    for (int i = 0; i < 20; ++i) check_definition(random_operands(generator, 0, 8), products);
  };
  check(tsssl::amx_emulated::tile_products);
#ifdef TSSSL_HAVE_avx512bf16
  if (tsssl::isa_supported(tsssl::Isa::avx512bf16)) {
    check(tsssl::avx512bf16::tile_products);
  } else {
    std::printf("skip avx512bf16: %s\n", tsssl::why_not_isa(tsssl::Isa::avx512bf16).c_str());
  }
#endif
  const std::string why = tsssl::why_not_isa(tsssl::Isa::amx);
#ifndef TSSSL_HAVE_amx
  std::printf("skip amx: not compiled in\n");
#else
  if (!why.empty()) {
    std::printf("skip amx: %s\n", why.c_str());
  } else {
    for (int middle : {0, -60, -70, 60}) {  // products of normal size, subnormal, overflowing
      for (int i = 0; i < 50; ++i) {
        Operands unit = random_operands(generator, middle, 12), plain = unit;
        tsssl::amx::tile_products(unit.left, unit.right, unit.results);
        tsssl::amx_emulated::tile_products(plain.left, plain.right, plain.results);
        for (int k = 0; k < kResults; ++k) {
          const bool both_nan = std::isnan(unit.results[k]) && std::isnan(plain.results[k]);
          if (!both_nan && std::memcmp(&unit.results[k], &plain.results[k], sizeof(float)) != 0) {
            ++failures;
          }
        }
      }
    }
  }
#endif
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
