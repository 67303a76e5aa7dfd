"""The architectures that kernels are compiled for: limits and published rates.

A100, H100: NVIDIA's architecture whitepapers (2020, 2022; SXM parts, dense rates), which also give
the numbers per multiprocessor. MI300X: AMD's CDNA 3 whitepaper (2023).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """name: as in Specialisation.targets; backend, arch, warp: triton's GPUTarget.

    shared: largest bytes per block; shared_sm, threads_sm, registers_sm, blocks_sm: per
    multiprocessor (compute unit), for the occupancy.
    """

    name: str
    backend: str
    arch: int | str
    warp: int
    shared: int
    shared_sm: int
    threads_sm: int
    registers_sm: int
    blocks_sm: int
    tensor_core: str

    def gpu_target(self) -> object:
        from triton.backends.compiler import GPUTarget

        return GPUTarget(self.backend, self.arch, self.warp)


KIB = 1024
TARGETS = {
    t.name: t
    for t in (
        Target("sm_80", "cuda", 80, 32, 163 * KIB, 164 * KIB, 2048, 65536, 32, "HMMA"),
        Target("sm_90", "cuda", 90, 32, 227 * KIB, 228 * KIB, 2048, 65536, 32, "HGMMA"),
        Target("gfx942", "hip", "gfx942", 64, 64 * KIB, 64 * KIB, 2048, 4 * 512 * 64, 16, "mfma"),
    )
}


@dataclass(frozen=True)
class Rates:
    """Peak per second. tensor: flops by operand dtype on tensor cores; fp32: flops of the ordinary
    units (two per fused multiply-add); exp2: special-function results; dram, l2: bytes.

    exp2 = 16 per clock and multiprocessor. L2 rates are not in the whitepapers: they are what
    published microbenchmarks reach.
    """

    name: str
    target: str
    tensor: dict[str, float]
    fp32: float
    exp2: float
    dram: float
    l2: float


A100 = Rates(
    *("A100 SXM 80 GB", "sm_80", {"bf16": 312e12, "fp16": 312e12, "tf32": 156e12}),
    *(19.5e12, 16 * 108 * 1.41e9, 2.039e12, 4.4e12),
)
H100 = Rates(
    *("H100 SXM", "sm_90", {"bf16": 989.4e12, "fp16": 989.4e12, "tf32": 494.7e12}),
    *(66.9e12, 16 * 132 * 1.83e9, 3.35e12, 5.5e12),
)
