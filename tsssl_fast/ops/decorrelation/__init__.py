"""VICReg and Barlow Twins as registered operators.

README.md has the derivation; spec.py the contract. Both give (loss, terms, moments, square): terms
are the loss's unweighted parts; moments and square are saved for the backward and carry the
statistics of `tsssl_fast.collapse`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _library, dispatch
from tsssl_fast.ops.decorrelation import cpp, reference, spec

BACKENDS = (cpp.BACKEND, reference.BACKEND)

dispatch.register_family(
    "decorrelation",
    ("vicreg", "vicreg_backward", "barlow_twins", "barlow_twins_backward"),
    BACKENDS,
)

_Outputs = tuple[Tensor, Tensor, Tensor, Tensor]


def _outputs(
    z: Tensor,
    sums: Sequence[float],
    factors: Sequence[float],
    weights: Sequence[float],
    moments: Tensor,
    square: Tensor,
) -> _Outputs:
    terms = [f * s for f, s in zip(factors, sums, strict=True)]
    # A weight of 0 switches a term off, whatever its value.
    loss = sum(w * t for w, t in zip(weights, terms, strict=True) if w)
    dtype = spec.compute_dtype(z.dtype)
    return (
        torch.tensor(loss, dtype=dtype, device=z.device),
        torch.tensor(terms, dtype=dtype, device=z.device),
        moments,
        square,
    )


def _upstream(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    factors: Sequence[float],
    weights: Sequence[float],
) -> list[float]:
    """Derivatives of what follows in each raw sum."""
    outer = 0.0 if grad_loss is None else grad_loss.item()
    own = [0.0] * len(factors) if grad_terms is None else grad_terms.tolist()
    return [
        f * ((outer * w if w else 0.0) + g) for f, w, g in zip(factors, weights, own, strict=True)
    ]


def _vicreg(
    z: list[Tensor],
    factors: list[float],
    weights: list[float],
    gamma: float,
    eps: float,
    correlation: bool,
    parts: int,
    backend: str,
) -> _Outputs:
    kernel = dispatch.select("vicreg", z, backend)
    moments, square = kernel(z, gamma, eps, correlation, parts)
    views = len(z)
    head = moments[: 1 + 2 * views].tolist()
    sums = (head[0], sum(head[1 : 1 + views]), sum(head[1 + views :]))
    return _outputs(z[0], sums, factors, weights, moments, square)


def _vicreg_fake(
    z: list[Tensor],
    factors: list[float],
    weights: list[float],
    gamma: float,
    eps: float,
    correlation: bool,
    parts: int,
    backend: str,
) -> _Outputs:
    n, dim = z[0].shape
    views, side = len(z), spec.side(n, dim)
    like = z[0].new_empty(0, dtype=spec.compute_dtype(z[0].dtype))
    return (
        like.new_empty(()),
        like.new_empty(len(factors)),
        like.new_empty(spec.vicreg_moments(views, dim), dtype=torch.float64),
        like.new_empty((views, side, side) if parts & spec.COVARIANCE else (0,)),
    )


def _vicreg_backward(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    z: list[Tensor],
    moments: Tensor,
    square: Tensor,
    factors: list[float],
    weights: list[float],
    gamma: float,
    eps: float,
    correlation: bool,
    parts: int,
    backend: str,
) -> list[Tensor]:
    kernel = dispatch.select("vicreg_backward", z, backend)
    upstream = _upstream(grad_loss, grad_terms, factors, weights)
    return kernel(upstream, z, moments, square, gamma, eps, correlation, parts)


def _vicreg_backward_fake(
    grad_loss: Tensor | None, grad_terms: Tensor | None, z: list[Tensor], *rest: Any
) -> list[Tensor]:
    return [v.new_empty(v.shape) for v in z]


def _vicreg_setup_context(ctx: Any, inputs: tuple[Any, ...], output: _Outputs) -> None:
    z, *ctx.options, backend = inputs
    ctx.backend = dispatch.requested(backend)  # the backward runs where the forward was asked to
    ctx.mark_non_differentiable(output[2], output[3])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*z, output[2], output[3])


def _vicreg_differentiate(
    ctx: Any, grad_loss: Tensor | None, grad_terms: Tensor | None, *_: Any
) -> tuple[Any, ...]:
    *z, moments, square = ctx.saved_tensors
    gradients = torch.ops.tsssl_fast.vicreg_backward(
        grad_loss, grad_terms, z, moments, square, *ctx.options, ctx.backend
    )
    return (gradients, *[None] * 7)


def _barlow_twins(
    z1: Tensor,
    z2: Tensor,
    factors: list[float],
    weights: list[float],
    eps: float,
    center: bool,
    unbiased: bool,
    backend: str,
) -> _Outputs:
    kernel = dispatch.select("barlow_twins", (z1, z2), backend)
    moments, square = kernel(z1, z2, eps, center, unbiased)
    return _outputs(z1, moments[:2].tolist(), factors, weights, moments, square)


def _barlow_twins_fake(z1: Tensor, z2: Tensor, factors: list[float], *rest: Any) -> _Outputs:
    n, dim = z1.shape
    side = spec.side(n, dim)
    like = z1.new_empty(0, dtype=spec.compute_dtype(z1.dtype))
    return (
        like.new_empty(()),
        like.new_empty(len(factors)),
        like.new_empty(spec.barlow_moments(dim), dtype=torch.float64),
        like.new_empty((2, side, side)),
    )


def _barlow_twins_backward(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    z1: Tensor,
    z2: Tensor,
    moments: Tensor,
    square: Tensor,
    factors: list[float],
    weights: list[float],
    eps: float,
    center: bool,
    unbiased: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    kernel = dispatch.select("barlow_twins_backward", (z1, z2), backend)
    upstream = _upstream(grad_loss, grad_terms, factors, weights)
    return kernel(upstream, z1, z2, moments, square, eps, center, unbiased)


def _barlow_twins_backward_fake(
    grad_loss: Tensor | None, grad_terms: Tensor | None, z1: Tensor, z2: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    return z1.new_empty(z1.shape), z2.new_empty(z2.shape)


def _barlow_setup_context(ctx: Any, inputs: tuple[Any, ...], output: _Outputs) -> None:
    z1, z2, *ctx.options, backend = inputs
    ctx.backend = dispatch.requested(backend)
    ctx.mark_non_differentiable(output[2], output[3])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(z1, z2, output[2], output[3])


def _barlow_differentiate(
    ctx: Any, grad_loss: Tensor | None, grad_terms: Tensor | None, *_: Any
) -> tuple[Any, ...]:
    gradients = torch.ops.tsssl_fast.barlow_twins_backward(
        grad_loss, grad_terms, *ctx.saved_tensors, *ctx.options, ctx.backend
    )
    return (*gradients, *[None] * 6)


_VICREG = "float[] factors, float[] weights, float gamma, float eps, bool correlation, int parts"
_BARLOW = "float[] factors, float[] weights, float eps, bool center, bool unbiased"
_GRADS = "Tensor? grad_loss, Tensor? grad_terms"
_RESULT = "(Tensor loss, Tensor terms, Tensor moments, Tensor square)"

_library.define(
    f"vicreg(Tensor[] z, {_VICREG}, str backend) -> {_RESULT}",
    _vicreg,
    _vicreg_fake,
    setup_context=_vicreg_setup_context,
    backward=_vicreg_differentiate,
)
_library.define(
    f"vicreg_backward({_GRADS}, Tensor[] z, Tensor moments, Tensor square, {_VICREG}, str backend) "
    "-> Tensor[]",
    _vicreg_backward,
    _vicreg_backward_fake,
    backward=_library.no_second_derivative("vicreg"),
)
_library.define(
    f"barlow_twins(Tensor z1, Tensor z2, {_BARLOW}, str backend) -> {_RESULT}",
    _barlow_twins,
    _barlow_twins_fake,
    setup_context=_barlow_setup_context,
    backward=_barlow_differentiate,
)
_library.define(
    f"barlow_twins_backward({_GRADS}, Tensor z1, Tensor z2, Tensor moments, Tensor square, "
    f"{_BARLOW}, str backend) -> (Tensor, Tensor)",
    _barlow_twins_backward,
    _barlow_twins_backward_fake,
    backward=_library.no_second_derivative("barlow_twins"),
)
