"""The operator `preprocess`."""

from typing import Any

from torch import Tensor

from tsssl_fast.backends import dispatch, registration


def _preprocess(
    x: Tensor, task: int, first: float, second: float, lengths: Tensor | None, backend: str
) -> Tensor:
    if lengths is not None and not 1 <= int(lengths.min()) <= int(lengths.max()) <= x.shape[-1]:
        low, high = int(lengths.min()), int(lengths.max())
        raise ValueError(f"lengths: {low} to {high}; accepted: 1 to T = {x.shape[-1]}")
    y: Tensor = dispatch.run("preprocess", x, task, first, second, lengths, backend)
    return y


def _fake(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


_operator = registration.define(
    "preprocess(Tensor x, int task, float first, float second, Tensor? lengths, str backend) "
    "-> Tensor",
    _preprocess,
    _fake,
)


def preprocess(x: Tensor, *rest: Any) -> Tensor:
    """The operator `preprocess`, past the dispatcher where nothing is traced; x: detached."""
    y: Tensor = (_preprocess if registration.plain(x) else _operator)(x, *rest)
    return y
