"""`formed_backward`: the backward of operators that form their gradient in the forward."""

from typing import Any

from torch import Tensor

from tsssl_fast.backends import registration


def _run(grad: Tensor, formed: Tensor, z1: Tensor, z2: Tensor | None, backend: str) -> Tensor:
    return formed * grad


_scaled = registration.define(
    "formed_backward(Tensor grad, Tensor formed, Tensor z1, Tensor? z2, str backend) -> Tensor",
    _run,
    _run,
    backward=registration.no_second_derivative("formed_backward"),
)


def formed_gradient(grad: Tensor, formed: Tensor, z1: Tensor, z2: Tensor | None = None) -> Any:
    """formed * grad. z1, z2: what `formed` is a function of, so that a second derivative is an
    error in words instead of a part that is missing."""
    return _scaled(grad, formed, z1, z2, "")
