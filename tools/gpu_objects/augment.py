"""Every form in which the augmentations' Triton kernels are launched."""

from typing import Any

from gpu_objects.specialisation import Specialisation
from gpu_objects.targets import TARGETS
from tsssl_fast.ops.augment.spec import Code
from tsssl_fast.ops.augment.triton.kernels import codes
from tsssl_fast.ops.augment.triton.kernels import entries as programs
from tsssl_fast.ops.augment.triton.tuning import REGISTERS, STAGES, WARPS, WIDE

_SIMCLR_TS = codes.bits(
    *(Code.TIME_FLIP, Code.BLOCKOUT, Code.RANDOM_NOISE, Code.CROP_RESIZE, Code.MAGNITUDE_WARP),
    *(Code.TIME_WARP, Code.SMOOTH),
)
_INT64 = ("stride_v", "stride_n", "stride_c", "stride_t", "key")


def _form(
    kernel: Any,
    label: str,
    dtype: str,
    config: tuple[int, int, int],
    target: str,
    ones: tuple[str, ...] = (),
    key: str = "i64",
) -> Specialisation:
    """ones: sizes that are 1, which Triton compiles as constants. key: "*i64" where it points to
    seed, epoch, step and rank."""
    compute = WIDE.get(dtype, "fp32")
    backward = kernel is programs.augment_backward_kernel
    pointers = {
        **{"x": f"*{dtype}", "grad": f"*{dtype}", "buffers": f"*{compute}", "lefts": "*i32"},
        **{"weights": f"*{compute}", "plan": "*fp64", "table": "*fp64"},
        **{
            "ids": "*i64",
            "lengths": "*i64",
            "key": key,
            "out": f"*{compute if backward else dtype}",
        },
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
    _form(
        programs.augment_sample_kernel,
        "all, key in memory",
        "fp32",
        (_ALL, 4, 64),
        "sm_90",
        key="*i64",
    ),
    *(
        _form(
            kernel, "simclr_ts of size 1 fp32 1x256", "fp32", (_SIMCLR_TS, 1, 256), "sm_90", _ONES
        )
        for kernel in (_FORWARD, _BACKWARD, programs.augment_sample_kernel)
    ),
]
