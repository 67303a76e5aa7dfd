"""The operator `mask`: exact-count masks drawn from a seed."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch, registration


def _fake(
    shape: Sequence[int], seed: Tensor, plan: Any, views: int, intersection: bool, *_: Any
) -> Tensor:
    return seed.new_empty((views + intersection, *shape), dtype=torch.bool)


_CPU = torch.empty(0, dtype=torch.int64)  # where the numbers of a seed are
_operator = registration.define(
    "mask(int[] shape, Tensor seed, int[] plan, int views, bool intersection, "
    "Tensor? sample_ids, str backend) -> Tensor",
    partial(dispatch.run, "mask"),
    _fake,
)


def mask(shape: Sequence[int], seed: Tensor | tuple[int, ...], *rest: Any) -> Tensor:
    """The operator `mask`; past the dispatcher for a seed of numbers, where nothing is traced."""
    if isinstance(seed, Tensor):
        return _operator(shape, seed, *rest)
    *given, backend = rest
    return dispatch.select("mask", (_CPU,), backend)(shape, seed, *given)
