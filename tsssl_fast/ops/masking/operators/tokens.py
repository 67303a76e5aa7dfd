"""The operators `gather_tokens` and `restore_tokens`, with the backward of the latter."""

from functools import partial
from typing import Any

from torch import Tensor

from tsssl_fast.backends import dispatch, registration


def _check_keep(keep: Tensor, length: int) -> None:
    # Here and not in the public function: a compiled graph can not branch on values.
    if keep.numel() and not 0 <= int(keep.min()) <= int(keep.max()) < length:
        low, high = int(keep.min()), int(keep.max())
        raise ValueError(f"keep: {low} to {high}; accepted: 0 to {length - 1}")
    if not bool((keep.diff(dim=1) > 0).all()):
        raise ValueError("keep: rows that do not ascend; accepted: ascending, as of keep_indices")


def _gather(x: Tensor, keep: Tensor, backend: str) -> Tensor:
    _check_keep(keep, x.shape[1])
    taken: Tensor = dispatch.run("gather_tokens", x, keep, backend)
    return taken


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
    restored: Tensor = dispatch.run("restore_tokens", visible, keep, length, token, backend)
    return restored


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
    gv, gt = _restore_backward(grad, keep, ctx.backend)
    return gv, None, None, gt, None


def _restore_backward_fake(grad: Tensor, keep: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return grad.new_empty((*keep.shape, grad.shape[2])), grad.new_empty(grad.shape[2])


gather_tokens = registration.define(
    "gather_tokens(Tensor x, Tensor keep, str backend) -> Tensor",
    _gather,
    _gather_fake,
    setup_context=_gather_setup,
    backward=_gather_differentiate,
)
restore_tokens = registration.define(
    "restore_tokens(Tensor visible, Tensor keep, int length, Tensor? token, str backend) -> Tensor",
    _restore,
    _restore_fake,
    setup_context=_restore_setup,
    backward=_restore_differentiate,
)
_restore_backward = registration.define(
    "restore_tokens_backward(Tensor grad, Tensor keep, str backend) -> (Tensor, Tensor)",
    partial(dispatch.run, "restore_tokens_backward"),
    _restore_backward_fake,
    backward=registration.no_second_derivative("restore_tokens"),
)
