"""Masking family: exact-count masks, fills, gathered tokens and losses over hidden values."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _library, dispatch
from tsssl_fast.ops.masking import cpp, numba, reference, spec
from tsssl_fast.ops.masking.spec import Fill

dispatch.register_family(
    "masking",
    (
        "mask",
        "mask_fill",
        "mask_fill_backward",
        "masked_loss",
        "masked_loss_backward",
        "gather_tokens",
        "restore_tokens",
        "restore_tokens_backward",
    ),
    (cpp.BACKEND, numba.BACKEND, reference.BACKEND),
)

_OPS = torch.ops.tsssl_fast


def _present(*tensors: Tensor | None) -> tuple[Tensor, ...]:
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


def _fill(
    x: Tensor,
    mask: Tensor,
    kind: int,
    token: Tensor | None,
    seed: Tensor | None,
    view: int,
    sample_ids: Tensor | None,
    backend: str,
) -> Tensor:
    kernel = dispatch.select("mask_fill", _present(x, mask, token), backend)
    return kernel(x, mask, kind, token, seed, view, sample_ids)


def _fill_fake(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


def _fill_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, mask, kind, *_, backend = inputs
    ctx.backend = dispatch.requested(backend)  # the backward runs where the forward was asked to
    ctx.token = kind == Fill.TOKEN
    ctx.save_for_backward(mask)


def _fill_differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (mask,) = ctx.saved_tensors
    gx, gt = _first_fill(grad, mask, ctx.token, ctx.backend)
    return (gx, None, None, gt if ctx.token else None, None, None, None, None)


def _fill_backward(grad: Tensor, mask: Tensor, token: bool, backend: str) -> tuple[Tensor, Tensor]:
    return dispatch.select("mask_fill_backward", (grad, mask), backend)(grad, mask, token)


def _fill_backward_fake(grad: Tensor, mask: Tensor, token: bool, *_: Any) -> tuple[Tensor, Tensor]:
    return grad.new_empty(grad.shape), grad.new_empty(grad.shape[1] if token else 0)


def _loss(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
    reduction: int,
    backend: str,
) -> tuple[Tensor, Tensor]:
    kernel = dispatch.select("masked_loss", _present(pred, target, mask, weight), backend)
    return kernel(pred, target, mask, weight, kind, delta, reduction)


def _loss_fake(
    pred: Tensor, target: Tensor, mask: Tensor, weight: Any, kind: int, delta: float, reduction: int
) -> tuple[Tensor, Tensor]:
    rows = pred.shape[0] if reduction == spec.Reduction.NONE else 1
    shape = (rows,) if reduction == spec.Reduction.NONE else ()
    value = pred.new_empty(shape, dtype=spec.compute_dtype(pred.dtype))
    return value, pred.new_empty((2, rows), dtype=torch.float64)


def _loss_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    pred, target, mask, weight, kind, delta, _, backend = inputs
    ctx.backend = dispatch.requested(backend)
    ctx.kind, ctx.delta = kind, delta
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], pred, target, mask, weight)


def _loss_differentiate(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    saved, pred, target, mask, weight = ctx.saved_tensors
    gp, gw = _first_loss(grad, saved, pred, target, mask, weight, ctx.kind, ctx.delta, ctx.backend)
    needs = ctx.needs_input_grad
    return (gp, -gp if needs[1] else None, None, gw if needs[3] else None, *(None,) * 4)


def _loss_backward(
    grad: Tensor,
    saved: Tensor,
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    tensors = _present(pred, target, mask, weight)
    kernel = dispatch.select("masked_loss_backward", tensors, backend)
    return kernel(grad, saved, pred, target, mask, weight, kind, delta)


def _loss_backward_fake(
    grad: Tensor,
    saved: Tensor,
    pred: Tensor,
    target: Any,
    mask: Any,
    weight: Tensor | None,
    *_: Any,
) -> tuple[Tensor, Tensor]:
    gw = pred.new_empty(0) if weight is None else weight.new_empty(weight.shape)
    return pred.new_empty(pred.shape), gw


def _check_keep(keep: Tensor, length: int) -> None:
    # Here and not in the public function: a compiled graph can not branch on values.
    if keep.numel() and not 0 <= int(keep.min()) <= int(keep.max()) < length:
        low, high = int(keep.min()), int(keep.max())
        raise ValueError(f"keep: {low} to {high}; accepted: 0 to {length - 1}")
    if not bool((keep.diff(dim=1) > 0).all()):
        raise ValueError("keep: rows that do not ascend; accepted: ascending, as of keep_indices")


def _gather(x: Tensor, keep: Tensor, backend: str) -> Tensor:
    _check_keep(keep, x.shape[1])
    return dispatch.select("gather_tokens", (x, keep), backend)(x, keep)


def _gather_fake(x: Tensor, keep: Tensor, backend: str) -> Tensor:
    return x.new_empty((*keep.shape, x.shape[2]))


def _gather_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, keep, backend = inputs
    ctx.backend = dispatch.requested(backend)
    ctx.length = x.shape[1]
    ctx.save_for_backward(keep)


def _gather_differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (keep,) = ctx.saved_tensors
    return restore_tokens(grad, keep, ctx.length, None, ctx.backend), None, None


def _restore(
    visible: Tensor, keep: Tensor, length: int, token: Tensor | None, backend: str
) -> Tensor:
    _check_keep(keep, length)
    kernel = dispatch.select("restore_tokens", _present(visible, keep, token), backend)
    return kernel(visible, keep, length, token)


def _restore_fake(visible: Tensor, keep: Tensor, length: int, *_: Any) -> Tensor:
    return visible.new_empty((visible.shape[0], length, visible.shape[2]))


def _restore_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, keep, _, token, backend = inputs
    ctx.backend = dispatch.requested(backend)
    ctx.token = token is not None
    ctx.save_for_backward(keep)


def _restore_differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (keep,) = ctx.saved_tensors
    if not ctx.token:
        return gather_tokens(grad, keep, ctx.backend), None, None, None, None
    gv, gt = _first_restore(grad, keep, ctx.backend)
    return gv, None, None, gt, None


def _restore_backward(grad: Tensor, keep: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return dispatch.select("restore_tokens_backward", (grad, keep), backend)(grad, keep)


def _restore_backward_fake(grad: Tensor, keep: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return grad.new_empty((*keep.shape, grad.shape[2])), grad.new_empty(grad.shape[2])


_library.define(
    "mask(int[] shape, Tensor seed, int[] plan, int views, bool intersection, "
    "Tensor? sample_ids, str backend) -> Tensor",
    _mask,
    _mask_fake,
)
_library.define(
    "mask_fill(Tensor x, Tensor mask, int kind, Tensor? token, Tensor? seed, int view, "
    "Tensor? sample_ids, str backend) -> Tensor",
    _fill,
    _fill_fake,
    setup_context=_fill_setup,
    backward=_fill_differentiate,
)
_library.define(
    "mask_fill_backward(Tensor grad, Tensor mask, bool token, str backend) -> (Tensor, Tensor)",
    _fill_backward,
    _fill_backward_fake,
    backward=_library.no_second_derivative("mask_fill"),
)
_library.define(
    "masked_loss(Tensor pred, Tensor target, Tensor mask, Tensor? weight, int kind, float delta, "
    "int reduction, str backend) -> (Tensor, Tensor)",
    _loss,
    lambda *args: _loss_fake(*args[:7]),
    setup_context=_loss_setup,
    backward=_loss_differentiate,
)
_library.define(
    "masked_loss_backward(Tensor grad, Tensor saved, Tensor pred, Tensor target, Tensor mask, "
    "Tensor? weight, int kind, float delta, str backend) -> (Tensor, Tensor)",
    _loss_backward,
    _loss_backward_fake,
    backward=_library.no_second_derivative("masked_loss"),
)
_library.define(
    "gather_tokens(Tensor x, Tensor keep, str backend) -> Tensor",
    _gather,
    _gather_fake,
    setup_context=_gather_setup,
    backward=_gather_differentiate,
)
_library.define(
    "restore_tokens(Tensor visible, Tensor keep, int length, Tensor? token, str backend) -> Tensor",
    _restore,
    _restore_fake,
    setup_context=_restore_setup,
    backward=_restore_differentiate,
)
_library.define(
    "restore_tokens_backward(Tensor grad, Tensor keep, str backend) -> (Tensor, Tensor)",
    _restore_backward,
    _restore_backward_fake,
    backward=_library.no_second_derivative("restore_tokens"),
)


def draw_mask(shape: Sequence[int], seed: Tensor, *rest: Any) -> Tensor:
    """The operator `mask`, past the dispatcher where nothing is traced."""
    return (_OPS.mask if _library.traced([seed]) else _mask)(shape, seed, *rest)


mask_fill = _library.eager(_OPS.mask_fill, _fill, _fill_setup, _fill_differentiate)
masked_loss = _library.eager(_OPS.masked_loss, _loss, _loss_setup, _loss_differentiate)
gather_tokens = _library.eager(_OPS.gather_tokens, _gather, _gather_setup, _gather_differentiate)
restore_tokens = _library.eager(
    _OPS.restore_tokens, _restore, _restore_setup, _restore_differentiate
)
_first_fill = _library.first_order(_OPS.mask_fill_backward, _fill_backward, "mask_fill")
_first_loss = _library.first_order(_OPS.masked_loss_backward, _loss_backward, "masked_loss")
_first_restore = _library.first_order(
    _OPS.restore_tokens_backward, _restore_backward, "restore_tokens"
)

__all__ = ["draw_mask", "gather_tokens", "mask_fill", "masked_loss", "restore_tokens", "spec"]
