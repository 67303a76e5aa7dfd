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
    """Peak per second. tensor: flops by operand dtype on tensor cores; instructions: of the
    ordinary float32 units, one a lane; exp2: special-function results; dram, l2: bytes.

    instructions = 64 (A100) or 128 (H100) lanes, exp2 = 16, per clock and multiprocessor (CUDA C++
    programming guide, throughput of arithmetic instructions), at the clock that gives the published
    tensor rate. l2: not published by the vendor; what published microbenchmarks read.
    """

    name: str
    tensor: dict[str, float]
    instructions: float
    exp2: float
    dram: float
    l2: float


A100 = Rates(
    "A100 SXM 80 GB",
    {"bf16": 312e12, "fp16": 312e12, "tf32": 156e12, "fp32": 19.5e12},
    *(64 * 108 * 1.41e9, 16 * 108 * 1.41e9, 2.039e12, 4.4e12),
)
H100 = Rates(
    "H100 SXM",
    {"bf16": 989.4e12, "fp16": 989.4e12, "tf32": 494.7e12, "fp32": 61.9e12},
    *(128 * 132 * 1.83e9, 16 * 132 * 1.83e9, 3.35e12, 5.5e12),
)
