"""The numba kernels (numba_kernels.py) on torch tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import _numba, rng
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.spec import Code, Fill, Reduction


def _key(seed: Tensor | None) -> Any:
    import numpy as np

    return np.array((0, 0) if seed is None else rng.fold_seed(*seed.tolist()), np.uint64)


def _identities(n: int, sample_ids: Tensor | None) -> Any:
    from tsssl_fast import _jit

    return _jit.array(torch.arange(n) if sample_ids is None else sample_ids)


def _words(threads: int, steps: int) -> Any:
    from tsssl_fast import _jit

    return _jit.array(torch.empty((threads, steps + 4), dtype=torch.int32)).view("uint32")


def _mask(
    shape: Sequence[int],
    seed: Tensor,
    plan: Sequence[int],
    views: int,
    intersection: bool,
    sample_ids: Tensor | None,
) -> Tensor:
    import numpy as np

    from tsssl_fast import _jit
    from tsssl_fast.ops.masking import numba_kernels as kernels

    n, rows, steps = shape
    out = torch.empty((views + intersection, n, rows, steps), dtype=torch.bool)
    threads = _jit.threads(out.numel() // kernels.TASK_ELEMENTS)
    _jit.run(
        *(kernels.mask, threads, _key(seed), _identities(n, sample_ids)),
        *(np.array(plan, np.int64), views, rows, _words(threads, steps)),
        out.numpy().view(np.uint8).reshape(-1, n * rows, steps),
    )
    return out


def _fill(
    x: Tensor,
    mask: Tensor,
    kind: int,
    token: Tensor | None,
    seed: Tensor | None,
    view: int,
    sample_ids: Tensor | None,
) -> Tensor:
    from tsssl_fast import _jit
    from tsssl_fast.ops.masking import numba_kernels as kernels

    dtype = x.dtype
    x = x.to(spec.compute_dtype(dtype)).contiguous()
    token = x.new_empty(0) if token is None else token.to(x.dtype)
    out = torch.empty_like(x)
    threads = _jit.threads(x.numel() // kernels.TASK_ELEMENTS)
    partial = torch.empty((threads, kernels.PARTIALS), dtype=torch.float64)
    _jit.run(
        *(kernels.fill, threads, _jit.array(x), _jit.flags(mask), kind, _jit.array(token)),
        *(_key(seed), _identities(len(x), sample_ids), view, _words(threads, x.shape[2])),
        *(_jit.array(partial), _jit.array(out)),
    )
    return out.to(dtype)


def _fill_backward(grad: Tensor, mask: Tensor, token: bool) -> tuple[Tensor, Tensor]:
    from tsssl_fast import _jit
    from tsssl_fast.ops.masking import numba_kernels as kernels

    dtype = grad.dtype
    grad = grad.to(spec.compute_dtype(dtype)).contiguous()
    gx, sums = torch.empty_like(grad), torch.empty(grad.shape[:2], dtype=torch.float64)
    _jit.run(
        *(kernels.fill_backward, _jit.threads(grad.numel() // kernels.TASK_ELEMENTS)),
        *(_jit.array(grad), _jit.flags(mask), _jit.array(gx), _jit.array(sums)),
    )
    gt = _added(sums) if token else grad.new_empty(0)
    return gx.to(dtype), gt.to(grad.dtype).to(dtype)


def _added(sums: Tensor) -> Tensor:
    """Sum over the samples, in one order whatever the number of threads."""
    return torch.from_numpy(sums.numpy().sum(0))


def _flat(x: Tensor | None, like: Tensor) -> Any:
    from tsssl_fast import _jit

    if x is None:
        return _jit.array(like.new_empty((0, 0)))
    return _jit.array(x.to(spec.compute_dtype(x.dtype)).contiguous().view(len(x), -1))


def _loss(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
    reduction: int,
) -> tuple[Tensor, Tensor]:
    from tsssl_fast import _jit
    from tsssl_fast.ops.masking import numba_losses as kernels

    pred = pred.to(spec.compute_dtype(pred.dtype))
    sums = torch.empty((len(pred), 2), dtype=torch.float64)
    flags = _jit.flags(mask).reshape(len(pred), -1)
    threads = _jit.threads(pred.numel() // kernels.TASK_ELEMENTS)
    partial = torch.empty((threads, 2, kernels.PARTIALS), dtype=torch.float64)
    _jit.run(
        *(kernels.loss, threads),
        *(_flat(pred, pred), _flat(target, pred), flags, _flat(weight, pred), kind, float(delta)),
        *(_jit.array(partial), _jit.array(sums)),
    )
    if reduction != Reduction.NONE:
        sums = _added(sums)[None]
    total, divisor = sums.unbind(1)
    if reduction == Reduction.SUM:
        value, saved = total, torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    else:
        value = torch.where(divisor == 0, 0.0, total / divisor)
        saved = torch.stack([value, divisor])
    value = value.to(pred.dtype)
    return (value if reduction == Reduction.NONE else value[0].clone()), saved


def _loss_backward(
    grad: Tensor,
    saved: Tensor,
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
) -> tuple[Tensor, Tensor]:
    from tsssl_fast import _jit
    from tsssl_fast.ops.masking import numba_losses as kernels

    given, shape, n = pred.dtype, pred.shape, len(pred)
    pred = pred.to(spec.compute_dtype(given))
    mean, divisor = saved
    factor = torch.where(divisor == 0, 0.0, grad.reshape(-1).double() / divisor)
    factors, means = (v.expand(n).to(pred.dtype) for v in (factor, mean))
    gp = pred.new_empty((n, pred[0].numel()))
    gw = pred.new_empty((0, 0)) if weight is None else torch.empty_like(gp)
    flags = _jit.flags(mask).reshape(n, -1)
    _jit.run(
        *(kernels.loss_backward, _jit.threads(pred.numel() // kernels.TASK_ELEMENTS)),
        *(_jit.array(factors), _jit.array(means), _flat(pred, pred), _flat(target, pred), flags),
        *(_flat(weight, pred), kind, float(delta), _jit.array(gp), _jit.array(gw)),
    )
    gw = gw.new_empty(0) if weight is None else gw.view(shape)
    return gp.view(shape).to(given), gw.to(given)


def _bits(x: Tensor) -> Any:
    """As int16, which numpy has where it lacks bfloat16; one type for all dtypes."""
    from tsssl_fast import _jit

    return _jit.array(x.detach().contiguous().view(torch.int16))


def _gather(x: Tensor, keep: Tensor) -> Tensor:
    from tsssl_fast import _jit
    from tsssl_fast.ops.masking import numba_losses as kernels

    out = x.new_empty((*keep.shape, x.shape[2]))
    threads = _jit.threads(out.numel() // kernels.TASK_ELEMENTS)
    _jit.run(kernels.gather, threads, _bits(x), _jit.array(keep), _bits(out))
    return out


def _restore(visible: Tensor, keep: Tensor, length: int, token: Tensor | None) -> Tensor:
    from tsssl_fast import _jit
    from tsssl_fast.ops.masking import numba_losses as kernels

    n, _, d = visible.shape
    out = visible.new_empty((n, length, d))
    token = visible.new_zeros(d) if token is None else token
    threads = _jit.threads(out.numel() // kernels.TASK_ELEMENTS)
    arguments = (_bits(visible), _jit.array(keep), _bits(token), _bits(out))
    _jit.run(kernels.restore, threads, *arguments)
    return out


def _restore_backward(grad: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    from tsssl_fast import _jit
    from tsssl_fast.ops.masking import numba_losses as kernels

    wide = grad.to(spec.compute_dtype(grad.dtype))
    sums = torch.empty((len(grad), grad.shape[2]), dtype=torch.float64)
    threads = _jit.threads(grad.numel() // kernels.TASK_ELEMENTS)
    arguments = (_jit.array(wide), _jit.array(keep), _jit.array(sums))
    _jit.run(kernels.token_gradient, threads, *arguments)
    return _gather(grad, keep), _added(sums).to(wide.dtype).to(grad.dtype)


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return _numba.why_not([t for t in tensors if t.is_floating_point()], spec.DTYPES)


def _warm() -> None:
    seed, keep = torch.zeros(4).long(), torch.zeros((1, 1)).long()
    mask = _mask((1, 1, 2), seed, [int(Code.POINT), 1, 1, 0], 1, False, None)[0]
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros((1, 1, 2), dtype=dtype)
        _fill(x, mask, int(Fill.ZERO), None, None, 0, None)
        _fill_backward(x, mask, True)
        _, saved = _loss(x, x, mask, x, 0, 1.0, int(Reduction.MEAN))
        _loss_backward(x[0, 0, 0], saved, x, x, mask, x, 0, 1.0)
        _restore(_gather(x, keep), keep, 1, None)
        _restore_backward(x, keep)


BACKEND = Backend(
    "numba",
    kernels={
        "mask": _mask,
        "mask_fill": _fill,
        "mask_fill_backward": _fill_backward,
        "masked_loss": _loss,
        "masked_loss_backward": _loss_backward,
        "gather_tokens": _gather,
        "restore_tokens": _restore,
        "restore_tokens_backward": _restore_backward,
    },
    why_not=_why_not,
    devices=frozenset({"cpu"}),
    warm=_warm,
)
