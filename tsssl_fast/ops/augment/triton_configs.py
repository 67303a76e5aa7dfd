"""Tile sizes and compiled forms of the kernels in triton_programs.py.

A pipeline compiles once per set of operation codes, dtype and tile: order, number, arguments and
probabilities of its operations are data.
"""

from typing import Any

from tsssl_fast.gpu.specialisation import Specialisation
from tsssl_fast.gpu.targets import TARGETS
from tsssl_fast.ops.augment import triton_codes as codes
from tsssl_fast.ops.augment import triton_programs as programs
from tsssl_fast.ops.augment.spec import Code

# Channels and steps of a tile.
TILES = ((1, 256), (4, 64), (16, 16))
# A fused multiply-add rounds once where the definition rounds twice.
WARPS, STAGES = 4, 1
# Left to itself, ptxas takes so few registers for some pipelines that they spill.
REGISTERS = {"maxnreg": 255}


def options(target: str) -> dict[str, int | bool]:
    """Of a launch on a target of backend.family."""
    options = {"num_warps": WARPS, "num_stages": STAGES, "enable_fp_fusion": False}
    return {**options, **(REGISTERS if target.startswith("sm_") else {})}


def tile(channels: int, steps: int) -> tuple[int, int]:
    """The tile that pads least; of two alike the one with more steps, whose rows are read whole."""

    def padded(shape: tuple[int, int]) -> int:
        return (-(-channels // shape[0]) * shape[0]) * (-(-steps // shape[1]) * shape[1])

    return min(TILES, key=padded)


_SIMCLR_TS = codes.bits(
    *(Code.TIME_FLIP, Code.BLOCKOUT, Code.RANDOM_NOISE, Code.CROP_RESIZE, Code.MAGNITUDE_WARP),
    *(Code.TIME_WARP, Code.SMOOTH),
)
_WIDE = {"fp64": "fp64"}  # the others compute in float32
_INT64 = ("stride_v", "stride_n", "stride_c", "stride_t", "key")


def _form(
    kernel: Any,
    label: str,
    dtype: str,
    config: tuple[int, int, int],
    target: str,
    ones: tuple[str, ...] = (),
) -> Specialisation:
    """ones: sizes that are 1, which Triton compiles as constants."""
    compute = _WIDE.get(dtype, "fp32")
    backward = kernel is programs.augment_backward_kernel
    pointers = {
        **{"x": f"*{dtype}", "grad": f"*{dtype}", "buffers": f"*{compute}", "lefts": "*i32"},
        **{"weights": f"*{compute}", "plan": "*fp64", "table": "*fp64"},
        **{"ids": "*i64", "lengths": "*i64", "out": f"*{compute if backward else dtype}"},
    }
    given: dict[str, Any] = {"DRAW": True, "SUM": True, "HAS_IDS": True, "HAS_LENGTHS": True}
    given |= {"CONFIG": config, "MASK": config[0], **dict.fromkeys(ones, 1)}
    numbers = {n: "i64" if n in _INT64 else "i32" for n in kernel.arg_names if n not in given}
    return Specialisation(
        kernel,
        label,
        {n: pointers.get(n, kind) for n, kind in numbers.items()},
        {n: given[n] for n in kernel.arg_names if n in given},
        WARPS,
        STAGES,
        (target,),
        fp_fusion=False,
        wide=False,  # series of any strides, read where a time map says
        options=REGISTERS if target.startswith("sm_") else {},
    )


# All codes in one kernel stand for every set of them: what a set leaves out is not compiled.
_ALL = codes.ALL_BITS
_FORWARD, _BACKWARD = programs.augment_forward_kernel, programs.augment_backward_kernel
_EVERYWHERE = (
    (_FORWARD, "all fp32 4x64", "fp32", (_ALL, 4, 64)),
    (_BACKWARD, "all fp32 4x64", "fp32", (_ALL, 4, 64)),
    (programs.augment_sample_kernel, "all", "fp32", (_ALL, 4, 64)),
    (_FORWARD, "simclr_ts bf16 4x64", "bf16", (_SIMCLR_TS, 4, 64)),
    (_FORWARD, "simclr_ts fp64 4x64", "fp64", (_SIMCLR_TS, 4, 64)),
    (_BACKWARD, "simclr_ts fp64 4x64", "fp64", (_SIMCLR_TS, 4, 64)),
    (_FORWARD, "simclr_ts fp32 1x256", "fp32", (_SIMCLR_TS, 1, 256)),
    (_FORWARD, "simclr_ts fp32 16x16", "fp32", (_SIMCLR_TS, 16, 16)),
)
_ONES = ("rows", "slots", "views", "samples", "channels", "steps", "stride_t")
_ONCE = (
    (_FORWARD, "all fp64 4x64", "fp64", (_ALL, 4, 64)),
    (_BACKWARD, "all fp64 4x64", "fp64", (_ALL, 4, 64)),
    (_FORWARD, "simclr_ts fp16 4x64", "fp16", (_SIMCLR_TS, 4, 64)),
)
SPECIALISATIONS = [
    *(_form(*form, target) for form in _EVERYWHERE for target in TARGETS),
    *(_form(*form, "sm_90") for form in _ONCE),
    *(
        _form(
            kernel, "simclr_ts of size 1 fp32 1x256", "fp32", (_SIMCLR_TS, 1, 256), "sm_90", _ONES
        )
        for kernel in (_FORWARD, _BACKWARD, programs.augment_sample_kernel)
    ),
]
