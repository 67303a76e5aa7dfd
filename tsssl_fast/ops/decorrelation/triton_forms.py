"""Every compiled form of the decorrelation kernels, for the ahead-of-time test and table."""

from typing import Any

import torch
import triton.language as tl

from tsssl_fast.gpu.specialisation import Specialisation
from tsssl_fast.ops.decorrelation import triton_gradient as gradient
from tsssl_fast.ops.decorrelation import triton_moments as moments
from tsssl_fast.ops.decorrelation import triton_statistics as statistics
from tsssl_fast.ops.decorrelation.triton_configs import CONFIGS

_COMPUTE = {torch.float32: ("fp32", tl.float32), torch.float64: ("fp64", tl.float64)}
_INPUTS = ("z", "a", "b", "partner", "other")
_WIDE = ("parts", "sums", "along")  # float64 whatever the arithmetic
_INTEGERS = ("n", "dim", "share", "shares", "side")


def _form(
    kernel: Any, target: str, label: str, given: str, compute: torch.dtype, **constants: Any
) -> Specialisation:
    """The form for embeddings with contiguous columns and a multiple of 16 of them."""
    name, dtype = _COMPUTE[compute]
    config = CONFIGS[target][compute]
    own = {"BLOCK": config.block, "DEPTH": config.depth, "COMPUTE": dtype}
    own |= {"ROWS": config.rows, "COLUMNS": config.columns, **constants}
    columns = [n for n in kernel.arg_names if n.startswith("stride_") and n.endswith("c")]
    own |= dict.fromkeys(columns, 1)
    types = {}
    for argument in (n for n in kernel.arg_names if n not in own):
        types[argument] = f"*{name}"
        if argument.startswith("stride_") or argument in _INTEGERS:
            types[argument] = "i32"
        elif argument in _INPUTS and kernel is not moments.inner_product_kernel:
            types[argument] = f"*{given}"
        elif argument in constants.get("wide", ()) or argument in _WIDE:
            types[argument] = "*fp64"
    if kernel in (statistics.row_squares_kernel,):
        types["out"] = "*fp64"
    if kernel in (moments.moments_kernel, moments.collect_kernel):
        types["diagonal"] = "*fp64"
    if kernel is moments.collect_kernel:
        types["parts"] = f"*{name}"
    if kernel is gradient.finish_kernel or (
        kernel is gradient.product_kernel and not constants["PROJECT"]
    ):
        types["out"] = f"*{given}"
    used = {n: own[n] for n in kernel.arg_names if n in own}
    return Specialisation(
        *(kernel, f"{label} {given}", types, used, config.num_warps, config.num_stages, (target,)),
        dots=compute == torch.float64 or constants.get("PRECISION") != "ieee",
        multiples=frozenset(n for n in types if n.startswith("stride_") or n in ("dim", "share")),
    )
