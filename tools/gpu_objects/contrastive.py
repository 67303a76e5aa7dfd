"""The forms in which the contrastive Triton kernels are launched, by losses of every dtype and tile
configuration; of the rules' options none, and all that go together."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from gpu_objects.recording import form, launches, merged
from gpu_objects.specialisation import Specialisation
from gpu_objects.targets import TARGETS
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN
from tsssl_fast.ops.contrastive.rules import Rules
from tsssl_fast.ops.contrastive.triton import nt_xent, pairs, sweeps, views

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
WIDE = 768  # columns that no tile holds
# Vectors of a number a row, read at any stride.
_NARROW = ("combine", "gradient_coefficients")


def _rows(dim: int) -> tuple[int, int]:
    """Queries and keys: no multiples of 16, but where they are the columns of chunks; of several
    slots of tiles."""
    return (304, 208) if dim == WIDE else (301, 205)


def _rules(options: str, n: int, keys: int) -> Rules:
    """Of one set by ids, a queue, or everything at once."""
    if options == "queue":
        return PLAIN
    q, k = torch.zeros(n, dtype=torch.int64), torch.zeros(keys, dtype=torch.int64)
    if options == "ids":
        return PLAIN._replace(q_id=q, k_id=q)
    matrix = torch.ones(n, keys)
    return PLAIN._replace(
        **{"q_id": q, "k_id": k, "q_group": q, "k_group": k, "group_rule": 1},
        **{"q_valid": q == 0, "k_valid": k == 0, "mask": matrix.bool(), "weight": matrix},
        symmetric=keys % 16 > 0,  # of chunks one way is enough
    )


def _two_views(dtype: torch.dtype, dim: int, temperature: float, apart: int = 0) -> None:
    """Forward and backward; apart: columns between the rows."""
    z = torch.zeros(_rows(dim)[0], dim + apart, dtype=dtype)[:, :dim]
    _, saved, none, gradients = nt_xent.nt_xent(z, z, temperature, "mean", True)
    if not gradients.numel():
        nt_xent.nt_xent_backward(torch.zeros(()), z, z, saved, none, temperature, "mean")


def _pairs(dtype: torch.dtype, dim: int, options: str) -> None:
    q, k = (torch.zeros(n, dim, dtype=dtype) for n in _rows(dim))
    rules, beta = _rules(options, *_rows(dim)), torch.ones(())
    keys, every = (None if options == "ids" else k), options == "everything"
    out, sums, scale, _ = pairs.pair_logsumexp(q, keys, beta, rules, every)
    grad = torch.zeros_like(out)
    # The keys' gradient is the same kernel with the roles exchanged.
    pairs.pair_logsumexp_backward(grad, q, keys, beta, rules, sums, scale, False)


def _calls(target: str) -> Iterator[tuple[str, str, str, Callable[..., None], tuple[Any, ...]]]:
    """(dtype, precision, what, function, its arguments beside the dtype)."""
    cuda = TARGETS[target].backend == "cuda"
    for dtype, dim in (("bf16", 64), ("bf16", 128), ("bf16", 256), ("fp16", 128), ("fp32", 128)):
        precisions = ("ieee", "tf32x3", "tf32") if dtype == "fp32" and cuda else ("ieee",)
        for precision in precisions:
            yield dtype, precision, f"D={dim}", _two_views, (dim, 0.1)
        for options in ("ids", "queue", "everything"):
            if (options != "ids" and dim != 128) or (dtype == "fp16" and options != "queue"):
                continue
            yield dtype, "ieee", f"D={dim} {options}", _pairs, (dim, options)
        if dim == 128:
            yield dtype, "ieee", f"D={dim} any stride", _two_views, (dim, 0.1, 1)
            if dtype != "fp16":
                yield dtype, "ieee", f"D={dim} views", _two_views, (dim, 0.01)
    for dtype in DTYPES:
        yield dtype, "ieee", "chunk", _two_views, (WIDE, 0.1)
        yield dtype, "ieee", "chunk views", _two_views, (WIDE, 0.01)
        if dtype != "fp16":
            yield dtype, "ieee", "chunk everything", _pairs, (WIDE, "everything")


def _forms(target: str) -> Iterator[Specialisation]:
    for dtype, precision, what, function, given in _calls(target):
        with launches(target, precision, (sweeps, views)) as found:
            function(DTYPES[dtype], *given)
        label = f"{dtype} {what}" + (f" {precision}" if dtype == "fp32" else "")
        for launch in found:
            name = launch[0].__name__
            if "stride" in what and name != "prepare":
                continue  # the others see operands alone
            # Rows anywhere; 32 x 16 numbers a step for eight warps.
            scattered = "stride" in what or (dtype, what) == ("fp32", "D=128 everything")
            # No tensor core of NVIDIA's takes float32 itself.
            dots = "PRECISION" not in launch[1] or dtype != "fp32" or precision != "ieee"
            yield form(launch, label, target, dots=dots, wide=not (name in _NARROW or scattered))


SPECIALISATIONS = merged(form for target in TARGETS for form in _forms(target))
