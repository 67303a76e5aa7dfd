"""`fused_backward`: the backward of operators that compute their gradient in the forward."""

from typing import Any

from torch import Tensor

from tsssl_fast.backends import registration


def _run(grad: Tensor, gradient: Tensor, z1: Tensor, z2: Tensor | None, backend: str) -> Tensor:
    return gradient * grad


_scaled = registration.define(
    "fused_backward(Tensor grad, Tensor gradient, Tensor z1, Tensor? z2, str backend) -> Tensor",
    _run,
    _run,
    backward=registration.no_second_derivative("fused_backward"),
)


def fused_gradient(grad: Tensor, gradient: Tensor, z1: Tensor, z2: Tensor | None = None) -> Any:
    """gradient * grad. z1, z2: what `gradient` is a function of, so that a second derivative is an
    error in words instead of a part that is missing."""
    return _scaled(grad, gradient, z1, z2, "")
