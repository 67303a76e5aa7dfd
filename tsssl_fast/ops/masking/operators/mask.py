"""The operator `mask`: exact-count masks drawn from a seed."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration

OPS = torch.ops.tsssl_fast


def present(*tensors: Tensor | None) -> tuple[Tensor, ...]:
    return tuple(t for t in tensors if t is not None)


def _mask(
    shape: Sequence[int],
    seed: Tensor,
    plan: Sequence[int],
    views: int,
    intersection: bool,
    sample_ids: Tensor | None,
    backend: str,
) -> Tensor:
    kernel = dispatch.select("mask", (seed,), backend)
    return kernel(shape, seed, plan, views, intersection, sample_ids)


def _mask_fake(
    shape: Sequence[int], seed: Tensor, plan: Any, views: int, intersection: bool, *_: Any
) -> Tensor:
    return seed.new_empty((views + intersection, *shape), dtype=torch.bool)


registration.define(
    "mask(int[] shape, Tensor seed, int[] plan, int views, bool intersection, "
    "Tensor? sample_ids, str backend) -> Tensor",
    _mask,
    _mask_fake,
)


def draw_mask(shape: Sequence[int], seed: Tensor, *rest: Any) -> Tensor:
    """The operator `mask`, past the dispatcher where nothing is traced."""
    return (OPS.mask if registration.traced([seed]) else _mask)(shape, seed, *rest)
