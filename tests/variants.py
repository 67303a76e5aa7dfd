"""What numeric tests run through: backends, instruction sets, thread counts."""

from tsssl_fast.backends import cpp as native

ISAS: dict[str, bool] = native.C.isas() if native.C is not None else {}
# A backend, or the C++ backend with an instruction set. A new backend of all families: here.
KERNELS = ("reference", "numba", *(f"cpp-{isa}" for isa in ISAS))
THREADS = (1, 2, 3, 7)
