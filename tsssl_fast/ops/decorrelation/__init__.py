"""VICReg and Barlow Twins as registered operators.

README.md has the derivation; spec.py the contract. All give (loss, terms, moments, square): terms
are the loss's unweighted parts; moments and square are saved for the backward and carry the
statistics of `tsssl_fast.collapse`.

Two views have an operator of their own, and numbers travel in one list: a list of tensors costs 40
microseconds more forward and backward, and every argument of the schema some 3. `vicreg` and
`barlow_twins` here are the same operators without the dispatcher where nothing is traced.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _library, dispatch
from tsssl_fast.ops.decorrelation import cpp, numba, reference, spec, triton
from tsssl_fast.ops.decorrelation.scalars import Outputs, finished

BACKENDS = (cpp.BACKEND, *map(finished, (numba.BACKEND, triton.BACKEND, reference.BACKEND)))

dispatch.register_family(
    "decorrelation",
    ("vicreg", "vicreg_views", "vicreg_backward", "barlow_twins", "barlow_twins_backward"),
    BACKENDS,
)


def _fake_outputs(z: Tensor, terms: int, moments: int, square: Sequence[int]) -> Outputs:
    dtype = spec.compute_dtype(z.dtype)
    return (
        z.new_empty((), dtype=dtype),
        z.new_empty(terms, dtype=dtype),
        z.new_empty(moments, dtype=torch.float64),
        z.new_empty(square, dtype=dtype),
    )


def _save(ctx: Any, z: Sequence[Tensor], settings: Any, flags: int, backend: str, out: Any) -> None:
    ctx.settings, ctx.flags = settings, flags
    ctx.backend = dispatch.resolve(backend)  # the backward runs where the forward was asked to
    ctx.mark_non_differentiable(out[2], out[3])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*z, out[2], out[3])


def _watched(*grads: Tensor | None) -> bool:
    """Whether the backward has to be an operator: second derivatives, or a trace."""
    return torch.is_grad_enabled() or _library.traced([g for g in grads if g is not None])


def _vicreg_views(z: list[Tensor], settings: list[float], flags: int, backend: str) -> Outputs:
    return dispatch.select("vicreg", z, backend)(z, settings, flags)


def _vicreg_views_fake(z: list[Tensor], settings: list[float], flags: int, backend: str) -> Outputs:
    n, dim = z[0].shape
    views, side = len(z), spec.side(n, dim)
    square = (views, side, side) if flags & spec.COVARIANCE else (0,)
    return _fake_outputs(z[0], 3, spec.vicreg_moments(views, dim), square)


def _vicreg(z1: Tensor, z2: Tensor, settings: list[float], flags: int, backend: str) -> Outputs:
    return _vicreg_views([z1, z2], settings, flags, backend)


def _vicreg_fake(
    z1: Tensor, z2: Tensor, settings: list[float], flags: int, backend: str
) -> Outputs:
    return _vicreg_views_fake([z1, z2], settings, flags, backend)


def _vicreg_backward(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    z: list[Tensor],
    moments: Tensor,
    square: Tensor,
    settings: list[float],
    flags: int,
    backend: str,
) -> list[Tensor]:
    kernel = dispatch.select("vicreg_backward", z, backend)
    return kernel(grad_loss, grad_terms, z, moments, square, settings, flags)


def _vicreg_backward_fake(
    grad_loss: Tensor | None, grad_terms: Tensor | None, z: list[Tensor], *rest: Any
) -> list[Tensor]:
    return [v.new_empty(v.shape) for v in z]


def _vicreg_views_setup(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    z, settings, flags, backend = inputs
    _save(ctx, z, settings, flags, backend, output)


def _pair_setup(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    z1, z2, settings, flags, backend = inputs
    _save(ctx, (z1, z2), settings, flags, backend, output)


def _vicreg_gradients(ctx: Any, grad_loss: Tensor | None, grad_terms: Tensor | None) -> Any:
    *z, moments, square = ctx.saved_tensors
    run = (
        torch.ops.tsssl_fast.vicreg_backward
        if _watched(grad_loss, grad_terms)
        else _vicreg_backward
    )
    return run(grad_loss, grad_terms, z, moments, square, ctx.settings, ctx.flags, ctx.backend)


def _vicreg_views_differentiate(ctx: Any, *grads: Any) -> tuple[Any, ...]:
    return _vicreg_gradients(ctx, *grads[:2]), None, None, None


def _vicreg_differentiate(ctx: Any, *grads: Any) -> tuple[Any, ...]:
    return *_vicreg_gradients(ctx, *grads[:2]), None, None, None


def _barlow_twins(
    z1: Tensor, z2: Tensor, settings: list[float], flags: int, backend: str
) -> Outputs:
    kernel = dispatch.select("barlow_twins", (z1, z2), backend)
    return kernel(z1, z2, settings, flags)


def _barlow_twins_fake(
    z1: Tensor, z2: Tensor, settings: list[float], flags: int, backend: str
) -> Outputs:
    n, dim = z1.shape
    side = spec.side(n, dim)
    return _fake_outputs(z1, 2, spec.barlow_moments(dim), (2, side, side))


def _barlow_twins_backward(
    grad_loss: Tensor | None,
    grad_terms: Tensor | None,
    z1: Tensor,
    z2: Tensor,
    moments: Tensor,
    square: Tensor,
    settings: list[float],
    flags: int,
    backend: str,
) -> tuple[Tensor, Tensor]:
    kernel = dispatch.select("barlow_twins_backward", (z1, z2), backend)
    return kernel(grad_loss, grad_terms, z1, z2, moments, square, settings, flags)


def _barlow_twins_backward_fake(
    grad_loss: Tensor | None, grad_terms: Tensor | None, z1: Tensor, z2: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    return z1.new_empty(z1.shape), z2.new_empty(z2.shape)


def _barlow_differentiate(ctx: Any, *grads: Any) -> tuple[Any, ...]:
    op = torch.ops.tsssl_fast.barlow_twins_backward
    run = op if _watched(*grads[:2]) else _barlow_twins_backward
    z1, z2, moments, square = ctx.saved_tensors
    settings = (ctx.settings, ctx.flags, ctx.backend)
    gradients = run(grads[0], grads[1], z1, z2, moments, square, *settings)
    return *gradients, None, None, None


_OPTIONS = "float[] settings, int flags, str backend"
_GRADS = "Tensor? grad_loss, Tensor? grad_terms"
_SAVED = "Tensor moments, Tensor square"
_RESULT = "(Tensor loss, Tensor terms, Tensor moments, Tensor square)"

_library.define(
    f"vicreg(Tensor z1, Tensor z2, {_OPTIONS}) -> {_RESULT}",
    _vicreg,
    _vicreg_fake,
    setup_context=_pair_setup,
    backward=_vicreg_differentiate,
)
_library.define(
    f"vicreg_views(Tensor[] z, {_OPTIONS}) -> {_RESULT}",
    _vicreg_views,
    _vicreg_views_fake,
    setup_context=_vicreg_views_setup,
    backward=_vicreg_views_differentiate,
)
_library.define(
    f"vicreg_backward({_GRADS}, Tensor[] z, {_SAVED}, {_OPTIONS}) -> Tensor[]",
    _vicreg_backward,
    _vicreg_backward_fake,
    backward=_library.no_second_derivative("vicreg"),
)
_library.define(
    f"barlow_twins(Tensor z1, Tensor z2, {_OPTIONS}) -> {_RESULT}",
    _barlow_twins,
    _barlow_twins_fake,
    setup_context=_pair_setup,
    backward=_barlow_differentiate,
)
_library.define(
    f"barlow_twins_backward({_GRADS}, Tensor z1, Tensor z2, {_SAVED}, {_OPTIONS}) "
    "-> (Tensor, Tensor)",
    _barlow_twins_backward,
    _barlow_twins_backward_fake,
    backward=_library.no_second_derivative("barlow_twins"),
)

vicreg = _library.eager(torch.ops.tsssl_fast.vicreg, _vicreg, _pair_setup, _vicreg_differentiate)
barlow_twins = _library.eager(
    torch.ops.tsssl_fast.barlow_twins, _barlow_twins, _pair_setup, _barlow_differentiate
)
