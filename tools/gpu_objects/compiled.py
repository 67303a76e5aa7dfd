"""Compiles a specialisation for a target, without a GPU, and reads the facts from the result."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_objects.specialisation import Specialisation
from gpu_objects.targets import Target

# SASS; the width of a global load is a suffix (".LTC128B" is a cache hint).
_LOAD = re.compile(r"\b(?:LDG|LDGSTS)\.E[A-Z0-9_.]*")
_WIDTH = re.compile(r"\.(128|64|U16|S16|U8|S8)\b")
_BYTES = {"128": 16, "64": 8, "U16": 2, "S16": 2, "U8": 1, "S8": 1}
_TENSOR = {"HMMA": r"\bHMMA\.", "HGMMA": r"\bHGMMA\.", "mfma": r"\bv_mfma_"}
_AMD_LOAD = re.compile(
    r"\b(?:global|buffer)_load_(dwordx4|dwordx3|dwordx2|dword|b128|[us]?short|u?byte)"
)
_AMD_BYTES = {"dwordx4": 16, "b128": 16, "dwordx3": 12, "dwordx2": 8, "dword": 4}


@dataclass(frozen=True)
class Facts:
    """Of one specialisation, by name, on one target.

    dots, wide: see Specialisation. registers: per thread (AMD: vector and accumulator registers per
    lane); spills: bytes of local memory per thread; shared: bytes per block; has_dot: the kernel
    has a tl.dot; tensor_core: number of tensor-core instructions by name; loads: number of global
    loads by bytes;
    occupancy: threads that fit on a multiprocessor over its most, limited by registers, shared
    memory and block slots.
    """

    name: str
    target: Target
    dots: bool
    wide: bool
    registers: int
    spills: int
    shared: int
    has_dot: bool
    tensor_core: dict[str, int]
    loads: dict[int, int]
    occupancy: float

    def defects(self) -> list[str]:
        """What must not be: spills, too much shared memory, a dot without the target's tensor-core
        instructions, loads narrower than the layout allows."""
        out = []
        if self.spills:
            out.append(f"{self.spills} bytes of spills")
        if self.shared > self.target.shared:
            out.append(f"{self.shared} bytes of shared memory (limit {self.target.shared})")
        if self.has_dot and self.dots and self.target.tensor_core not in self.tensor_core:
            out.append(f"tl.dot without tensor-core instructions ({self.target.tensor_core})")
        if self.wide and self.target.backend == "cuda" and 16 not in self.loads:
            out.append("no load of 128 bits")
        return out


def compile_for(specialisation: Specialisation, target: Target) -> Any:
    """Triton's compiled kernel; from Triton's cache on disk where it has been compiled before."""
    import triton

    options = {
        "num_warps": specialisation.num_warps,
        "num_stages": specialisation.num_stages,
        "enable_fp_fusion": specialisation.fp_fusion,
        **specialisation.options,
    }
    return triton.compile(specialisation.source(), target=target.gpu_target(), options=options)


def facts(specialisation: Specialisation, target: Target) -> Facts:
    kernel = compile_for(specialisation, target)
    registers, spills, code = (_nvidia if target.backend == "cuda" else _amd)(kernel)
    tensor_core = {
        name: n for name, pattern in _TENSOR.items() if (n := len(re.findall(pattern, code)))
    }
    shared = int(kernel.metadata.shared)
    return Facts(
        specialisation.name,
        target,
        specialisation.dots or target.backend != "cuda",
        specialisation.wide,
        registers,
        spills,
        shared,
        "tt.dot" in kernel.asm["ttir"],
        tensor_core,
        _loads(code, target),
        _occupancy(target, registers, shared, specialisation.num_warps * target.warp),
    )


def _nvidia(kernel: Any) -> tuple[int, int, str]:
    """Registers, local bytes and SASS, by the cuobjdump that comes with Triton."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(kernel.asm["cubin"])
        usage, code = (
            subprocess.run([tool, how, path], capture_output=True, text=True, check=True).stdout
            for how in ("--dump-resource-usage", "-sass")
        )
    number = {k: int(v) for k, v in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage)}
    return number["REG"], number["STACK"] + number["LOCAL"], code


def _amd(kernel: Any) -> tuple[int, int, str]:
    code = kernel.asm["amdgcn"]
    number = {k: int(v) for k, v in re.findall(r"\.(\w+_count|\w+_fixed_size): +(\d+)", code)}
    # Scalar registers spill to lanes of vector registers, which is no memory. vgpr_count includes
    # the accumulator registers.
    spilled = 4 * number["vgpr_spill_count"] + number["private_segment_fixed_size"]
    return number["vgpr_count"], spilled, code


def _loads(code: str, target: Target) -> dict[int, int]:
    found: dict[int, int] = {}
    if target.backend == "cuda":
        for load in _LOAD.findall(code):
            width = _WIDTH.search(load)
            size = _BYTES[width[1]] if width else 4
            found[size] = found.get(size, 0) + 1
    else:
        for width in _AMD_LOAD.findall(code):
            size = _AMD_BYTES.get(width, 2 if "short" in width else 1)
            found[size] = found.get(size, 0) + 1
    return dict(sorted(found.items(), reverse=True))


def _occupancy(target: Target, registers: int, shared: int, threads: int) -> float:
    """Registers are handed out by 8 a thread; a block takes 1 KiB of shared memory for itself."""
    by_registers = target.registers_sm // (-(-max(registers, 1) // 8) * 8 * threads)
    by_shared = target.shared_sm // (shared + 1024) if shared else target.blocks_sm
    by_threads = target.threads_sm // threads
    blocks = min(by_registers, by_shared, by_threads, target.blocks_sm)
    return blocks * threads / target.threads_sm
