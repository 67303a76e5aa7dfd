// What the tests share: counting failures, random numbers, every instruction set in turn.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "runtime/dispatch.h"
#include "runtime/isa.h"

namespace support {

using Real = long double;

inline int failures = 0;

inline void expect(bool good, const char* isa, const std::string& what, Real error = 0) {
  failures += good ? 0 : 1;
  std::printf("%s %-8s %s %.1e\n", good ? "ok  " : "FAIL", isa, what.c_str(), double(error));
}

template <class T>
std::string bits(const char* what) {
  return std::string(what) + (sizeof(T) == 4 ? ", 32 bits" : ", 64 bits");
}

template <class T>
std::vector<T> normals(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<T> x(count);
  for (T& v : x) v = static_cast<T>(normal(generator));
  return x;
}

// Over the largest of the truth. NaN stays.
template <class T>
Real largest_error(const std::vector<T>& actual, const std::vector<Real>& truth) {
  Real error = 0, scale = 0;
  for (std::size_t k = 0; k < truth.size(); ++k) {
    const Real difference = std::fabs(actual[k] - truth[k]);
    error = difference <= error ? error : difference;
    scale = std::fmax(scale, std::fabs(truth[k]));
  }
  return scale == 0 ? error : error / scale;
}

// test(name) for every compiled instruction set that runs here. Returns the exit status.
template <class F>
int every_isa(const F& test) {
  for (tsssl::Isa isa : tsssl::compiled_isas()) {
    const std::string name = tsssl::isa_name(isa);
    if (!tsssl::isa_supported(isa)) {
      std::printf("skip %s: this processor does not have it\n", name.c_str());
      continue;
    }
    tsssl::set_isa(name);
    test(name.c_str());
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace support
