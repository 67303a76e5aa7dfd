#include "runtime/isa.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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
  std::string why;
  for (Isa isa : compiled_isas()) {
    const std::string reason = why_not_isa(isa);
    if (reason.empty()) usable.push_back(isa);
    if (name == isa_name(isa)) {
      if (reason.empty()) return isa;
      why = reason + "; ";
    }
  }
  throw std::invalid_argument("TSSSL_CPU_ISA='" + name + "' can not be used: " + why +
                              "compiled in and supported by this machine: " + names(usable));
}

// Whether a product of bfloat16 pairs takes less time than two of float32 numbers. A rule, so that
// bits never depend on a measurement: on AMD (an EPYC) NT-Xent in bfloat16 took 0.56 of the time at
// 4096 x 128; on Intel the instruction has half the rate, and the same took 1.45 of it.
bool pairs_gain() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("amd");
#else
  return false;
#endif
}

// The best of those up to `last`.
Isa best(Isa last) {
  Isa found = Isa::baseline;
  for (Isa isa : compiled_isas()) {
    if (isa == Isa::avx512bf16 && !pairs_gain()) continue;
    if (isa <= last && why_not_isa(isa).empty()) found = isa;
  }
  return found;
}

Isa automatic() {
  const char* name = std::getenv("TSSSL_CPU_ISA");
  return name != nullptr && *name != '\0' ? parse(name) : best(Isa::amx);
}

#if defined(__x86_64__) && defined(__linux__)
// Linux keeps the tiles' 8 KB of state from a process until it asks, once for all of its threads
// and children.
std::string why_not_tiles() {
  unsigned a, b, c, d;
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kBf16) == 0 || (d & kTile) == 0) {
    return "this processor does not have AMX with bfloat16";
  }
  __get_cpuid(1, &a, &b, &c, &d);
  unsigned low = 0, high = 0;
  if ((c & 1u << 27) != 0) asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 3u << 17) != 3u << 17) return "the operating system does not enable AMX";
  constexpr int kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  if (syscall(SYS_arch_prctl, kRequest, kTileData) != 0) {
    return "the operating system refuses AMX to this process";
  }
  return "";
}
#else
std::string why_not_tiles() { return "AMX is used on Linux on x86-64 alone"; }
#endif

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512bf16:
      return "avx512bf16";
    case Isa::amx:
      return "amx";
    case Isa::amx_emulated:
      return "amx-emulated";
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
#ifdef TSSSL_HAVE_avx512bf16
  isas.push_back(Isa::avx512bf16);
#endif
#ifdef TSSSL_HAVE_amx
  isas.push_back(Isa::amx);
#endif
#ifdef TSSSL_HAVE_amx_emulated
  isas.push_back(Isa::amx_emulated);
#endif
  return isas;
}

std::string why_not_isa(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const bool pairs = avx512 && __builtin_cpu_supports("avx512bf16");
  const std::string no_pairs = "this processor does not have AVX512_BF16";
  switch (isa) {
    case Isa::avx2:
      return avx2 ? "" : "this processor does not have AVX2 and FMA";
    case Isa::amx: {
      static const std::string tiles = why_not_tiles();
      return !tiles.empty() || pairs ? tiles : no_pairs;
    }
    case Isa::avx512bf16:
      return pairs ? "" : no_pairs;
    case Isa::avx512:
      return avx512 ? "" : "this processor does not have AVX-512 F, BW, DQ and VL";
    default:
      return "";
  }
#else
  return isa == Isa::baseline || isa == Isa::amx_emulated ? "" : "this is no x86-64 processor";
#endif
}

Isa vector_isa() {
  const Isa isa = active_isa();
  if (isa <= Isa::avx512) return isa;
  static const Isa beneath_emulation = best(Isa::avx512);
  return isa == Isa::amx_emulated ? beneath_emulation : Isa::avx512;
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
