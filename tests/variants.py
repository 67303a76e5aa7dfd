"""What numeric tests run through: backends, instruction sets, thread counts, the device."""

from tsssl_fast.backends import cpp as native

ISAS: dict[str, bool] = native.C.isas() if native.C is not None else {}
# Runs what avx512 does, but bfloat16 products from shapes on that few tests have: those that give
# the tensor unit its own shapes (test_precision.py, test_tile_unit.py) do it for this one too.
PAIRS = "avx512bf16"
# Device -> backends, the C++ one with each instruction set. A new backend of all families: here.
KERNELS = {
    "cpu": ("reference", "numba", *(f"cpp-{isa}" for isa in ISAS if isa != PAIRS)),
    "cuda": ("reference", "triton"),
}
THREADS = (1, 2, 3, 7)
