"""Every compiled form of the decorrelation kernels, for the ahead-of-time test and table."""

from collections.abc import Iterator
from typing import Any

import torch
import triton.language as tl

from gpu_objects.specialisation import Specialisation
from tsssl_fast.ops.decorrelation.triton.kernels import gradient, moments, statistics
from tsssl_fast.ops.decorrelation.triton.tuning import CONFIGS

_COMPUTE = {torch.float32: ("fp32", tl.float32), torch.float64: ("fp64", tl.float64)}
_FLOAT64 = {"parts", "sums", "along", "diagonal"}
_INTEGERS = {"n", "dim", "split", "splits", "side"}
_VIEWS = {"z", "a", "b", "partner", "other"}
# Pointers whose dtype is not that of their name above.
_OWN = {
    statistics.row_squares_kernel: {"out": "*fp64"},
    moments.collect_kernel: {"parts": "compute"},
    moments.inner_product_kernel: {"a": "compute", "b": "compute"},
    gradient.product_kernel: {"diagonal": "compute"},
    gradient.finish_kernel: {"out": "view"},
}


def _form(
    kernel: Any,
    target: str,
    given: str,
    compute: torch.dtype,
    constants: dict[str, Any],
    sides: bool = True,
) -> Specialisation:
    """The form for views of dtype `given` with contiguous columns, a multiple of 16 of them; sides:
    square matrices too have sides that are (else their rows begin anywhere)."""
    name, dtype = _COMPUTE[compute]
    constants = {"GUARDED": False, **constants}
    config = CONFIGS[target][compute]
    block = config.collected if kernel is moments.collect_kernel else config.block
    depth = config.depth
    if kernel is gradient.product_kernel:
        depth = config.gradient_depth(constants["PRECISION"])
    known = {"BLOCK": block, "DEPTH": depth, "COMPUTE": dtype, **constants}
    known |= {"ROWS": config.rows, "COLUMNS": config.columns}
    known |= {n: 1 for n in kernel.arg_names if n.startswith("stride_") and n.endswith("c")}

    def kind(argument: str) -> str:
        if argument in _INTEGERS or argument.startswith("stride_"):
            return "i32"
        if argument == "active" and constants["GUARDED"]:
            return "*i1"
        own = _OWN.get(kernel, {}).get(argument)
        if own is None and argument == "out" and constants.get("PROJECT") is False:
            own = "view"
        if own == "view" or (own is None and argument in _VIEWS):
            return f"*{given}"
        if own == "*fp64" or (own is None and argument in _FLOAT64):
            return "*fp64"
        return f"*{name}"

    types = {n: kind(n) for n in kernel.arg_names if n not in known}
    precise = constants.get("PRECISION") == "ieee" and target != "gfx942"
    flags = [k.lower() for k, v in constants.items() if v is True]
    label = [given, f"in {name}", *flags, constants.get("PRECISION"), "" if sides else "any side"]
    aligned = {"dim", "split", "side"} if sides else {"dim", "split"}
    chosen = config.moment_options if kernel is moments.moments_kernel else config.options
    return Specialisation(
        kernel,
        " ".join(filter(None, label)),
        types,
        {n: known[n] for n in kernel.arg_names if n in known},
        config.num_warps,
        config.num_stages,
        (target,),
        dots=not precise,
        wide=sides,
        multiples=frozenset(n for n in types if n.startswith("stride_") or n in aligned),
        options={k: v for k, v in chosen.items() if k == "maxnreg"},
    )


def _forms(target: str) -> Iterator[Specialisation]:
    """Both sides of float32 in every precision; of the others the side where a kernel does more.

    Guarded is what runs where float32 cancels on the n side, and what runs elsewhere there.
    """
    single, double = torch.float32, torch.float64
    fast = "ieee" if target == "gfx942" else "tf32"
    precisions = ("ieee",) if target == "gfx942" else ("ieee", "tf32x3", "tf32")
    cases = [("fp32", single, p, gram, gram) for p in precisions for gram in (True, False)]
    cases += [(dtype, single, fast, True, False) for dtype in ("bf16", "fp16")]
    # The last: a view taken again in float64.
    cases += [("fp64", double, "ieee", True, False), ("fp32", double, "ieee", True, True)]
    for dtype, compute, precision, forward, backward in cases:
        again = dtype == "fp32" and compute == double
        moment: dict[str, Any] = {
            "GUARDED": again,
            "GRAM": forward,
            "SYMMETRIC": True,
            "SPLIT": forward,
            "PRECISION": precision,
        }
        yield _form(moments.moments_kernel, target, dtype, compute, moment)
        product: dict[str, Any] = {"GRAM": backward, "CROSS": not backward, "PROJECT": not backward}
        product |= {"GUARDED": backward}
        product |= {"INVARIANCE": backward, "PRECISION": precision}
        yield _form(gradient.product_kernel, target, dtype, compute, product)
    cross = {"GRAM": False, "SYMMETRIC": False, "SPLIT": False, "PRECISION": fast}
    yield _form(moments.moments_kernel, target, "fp32", single, cross)
    for compute in (single, double):
        guarded = {"GUARDED": compute == double}
        gathered = {"GRAM": True, "SYMMETRIC": True, **guarded}
        for sides in (True, False):
            yield _form(moments.collect_kernel, target, "fp32", compute, gathered, sides)
            yield _form(moments.inner_product_kernel, target, "fp32", compute, guarded, sides)
    yield _form(statistics.row_squares_kernel, target, "fp32", double, {"GUARDED": True})
    for dtype in ("fp32", "bf16", "fp16", "fp64"):
        compute = double if dtype == "fp64" else single
        sums = {"CENTRE": True, "OWN": True, "PAIR": True}
        yield _form(statistics.statistics_kernel, target, dtype, double, sums)
        yield _form(statistics.row_squares_kernel, target, dtype, compute, {})
        finish = {"HAS_PRODUCT": True, "PROJECT": True, "INVARIANCE": True}
        finish |= {"GUARDED": dtype != "fp64"}
        yield _form(gradient.finish_kernel, target, dtype, compute, finish)


SPECIALISATIONS = [form for target in CONFIGS if target != "interpreter" for form in _forms(target)]
