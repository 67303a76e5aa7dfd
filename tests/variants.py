"""What numeric tests run through: backends, instruction sets, thread counts, the device."""

from tsssl_fast.backends import cpp as native

ISAS: dict[str, bool] = native.C.isas() if native.C is not None else {}
# Device -> backends, the C++ one with each instruction set. A new backend of all families: here.
KERNELS = {
    "cpu": ("reference", "numba", *(f"cpp-{isa}" for isa in ISAS)),
    "cuda": ("reference", "triton"),
}
THREADS = (1, 2, 3, 7)
