#include "runtime/isa.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace tsssl {
namespace {

constexpr int kUnset = -1;
std::atomic<int> current{kUnset};

std::string names(const std::vector<Isa>& isas) {
  std::string text;
  for (Isa isa : isas) text += (text.empty() ? "" : ", ") + std::string(isa_name(isa));
  return text;
}

Isa parse(const std::string& name) {
  std::vector<Isa> usable;
  for (Isa isa : compiled_isas()) {
    if (isa_supported(isa)) usable.push_back(isa);
  }
  for (Isa isa : usable) {
    if (name == isa_name(isa)) return isa;
  }
  throw std::invalid_argument(
      "TSSSL_CPU_ISA='" + name +
      "' can not be used: compiled in and supported by this machine: " + names(usable));
}

Isa automatic() {
  if (const char* name = std::getenv("TSSSL_CPU_ISA"); name != nullptr && *name != '\0') {
    return parse(name);
  }
  Isa best = Isa::baseline;
  for (Isa isa : compiled_isas()) {
    if (isa_supported(isa)) best = isa;
  }
  return best;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    default:
      return "baseline";
  }
}

std::vector<Isa> compiled_isas() {
  std::vector<Isa> isas{Isa::baseline};
#ifdef TSSSL_HAVE_avx2
  isas.push_back(Isa::avx2);
#endif
#ifdef TSSSL_HAVE_avx512
  isas.push_back(Isa::avx512);
#endif
  return isas;
}

bool isa_supported(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  switch (isa) {
    case Isa::avx2:
      return avx2;
    case Isa::avx512:
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    default:
      return true;
  }
#else
  return isa == Isa::baseline;
#endif
}

std::string why_not_bf16() {
#ifdef TSSSL_HAVE_avx512bf16
  __builtin_cpu_init();
  if (!isa_supported(Isa::avx512) || !__builtin_cpu_supports("avx512bf16")) {
    return "this processor does not have AVX512_BF16";
  }
  if (active_isa() != Isa::avx512) {
    return std::string("instruction set ") + isa_name(active_isa()) + " is in use (needed: avx512)";
  }
  return "";
#else
  return "this build has no kernels for AVX512_BF16";
#endif
}

Isa active_isa() {
  int isa = current.load(std::memory_order_relaxed);
  if (isa == kUnset) {
    isa = static_cast<int>(automatic());
    current.store(isa, std::memory_order_relaxed);
  }
  return static_cast<Isa>(isa);
}

void set_isa(const std::string& name) {
  current.store(static_cast<int>(name.empty() ? automatic() : parse(name)),
                std::memory_order_relaxed);
}

}  // namespace tsssl
