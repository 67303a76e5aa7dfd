// The instruction sets that the kernels are compiled for, and which of them this machine can run.
#pragma once
#include <string>
#include <vector>

namespace tsssl {

// avx512bf16: avx512, and products of bfloat16 pairs for the operators that are written on the
// tensor unit; chosen by itself on the processors where they are the faster ones. amx: avx512, and
// the tensor unit for the same operators. amx_emulated: those on the unit in plain
// C++, the others on the best of the first three; never chosen by itself.
enum class Isa { baseline, avx2, avx512, avx512bf16, amx, amx_emulated };

const char* isa_name(Isa isa);

// Compiled into this binary, in ascending order of preference.
std::vector<Isa> compiled_isas();

// Why this machine can not run it: what processor or operating system lack; "" where they can.
std::string why_not_isa(Isa isa);
inline bool isa_supported(Isa isa) { return why_not_isa(isa).empty(); }

// The set whose vector instructions are in use: active_isa() without bfloat16 and tensor unit.
Isa vector_isa();

// The set in use: TSSSL_CPU_ISA where it is set, else the best that is compiled, supported and no
// loss here.
// Throws std::invalid_argument for a name that is unknown, not compiled in or not supported.
Isa active_isa();

// Selects a set by name for the calls that follow; "" returns to the automatic choice. For tests
// and benchmarks: not to be called while kernels run in another thread.
void set_isa(const std::string& name);

}  // namespace tsssl
