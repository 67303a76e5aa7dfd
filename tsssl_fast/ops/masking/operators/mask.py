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


_draw = partial(dispatch.run, "mask")
_operator = registration.define(
    "mask(int[] shape, Tensor seed, int[] plan, int views, bool intersection, "
    "Tensor? sample_ids, str backend) -> Tensor",
    _draw,
    _fake,
)


def mask(shape: Sequence[int], seed: Tensor, *rest: Any) -> Tensor:
    """The operator `mask`, past the dispatcher where nothing is traced."""
    drawn: Tensor = (_operator if registration.traced([seed]) else _draw)(shape, seed, *rest)
    return drawn
