"""The definition in plain torch; masks are True where a value is hidden."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast import rng
from tsssl_fast.dispatch import Backend
from tsssl_fast.ops.augment import arithmetic
from tsssl_fast.ops.augment.draws import Subject
from tsssl_fast.ops.augment.pointwise import fixed_sum
from tsssl_fast.ops.augment.spec import CHANNEL_SHIFT, ELEMENT_PURPOSE
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.spec import Code, Fill, Loss, Reduction


def select(words: Tensor, count: int) -> Tensor:
    """Chooses `count` of M units uniformly: (..., M) words to (..., M) bool, exactly `count` True.

    Selection sampling in the order of the units (Fan, Muller, Rezucha, 1962; Knuth's algorithm S):
    unit i is taken with probability (still to take) / (M - i). One word a unit, no sort.
    """
    m = words.shape[-1]
    left = torch.full_like(words[..., 0], count)
    columns = []
    for i, word in enumerate(words.unbind(-1)):
        taken = rng.below(word, m - i) < left
        left = left - taken.long()
        columns.append(taken)
    return torch.stack(columns, dim=-1)


def _positions(chosen: Tensor, count: int) -> Tensor:
    """Where the `count` True of every row are, ascending: (..., count) int64."""
    return chosen.nonzero()[:, -1].view(*chosen.shape[:-1], count)


def _runs(words: Tensor, second: Tensor, plan: Sequence[int]) -> Tensor:
    """Runs of hidden steps, from the (..., T) words and the second parameter word of every row."""
    code, count, size, runs = plan
    t = words.shape[-1]
    step = torch.arange(count).expand(*words.shape[:-1], count)
    if code == Code.SPAN:
        # A unit is a visible step or a whole span; spans may touch.
        chosen = select(words[..., : t - count + runs], runs)
        before = _positions(chosen, runs) - torch.arange(runs)
        short = rng.below(second, runs)[..., None]  # the span that has what is left
        first, rest = short * size, count - (runs - 1) * size
        after = short + 1 + (step - first - rest).div(size, rounding_mode="floor")
        run = torch.where(
            step < first, step // size, torch.where(step < first + rest, short, after)
        )
    else:
        # Lengths and gaps are uniform compositions, which is what geometric ones are given their
        # sum; at least one visible step lies between two runs.
        before = _positions(select(words[..., count - 1 :], runs), runs)
        breaks = select(words[..., : count - 1], runs - 1) if count > 1 else step[..., :0]
        run = torch.nn.functional.pad(breaks.long().cumsum(-1), (1, 0))
    hidden = torch.zeros(words.shape, dtype=torch.bool)
    return hidden.scatter(-1, step + before.gather(-1, run), True)


def mask(
    shape: Sequence[int],
    seed: Tensor,
    plan: Sequence[int],
    views: int,
    intersection: bool,
    sample_ids: Tensor | None,
) -> Tensor:
    """(views, N, rows, T) bool of shape (N, rows, T); with `intersection` one plane more: what all
    views hide."""
    n, rows, t = shape
    code, count, size, _ = plan
    units = -(-t // size) if code in spec.UNITS else t
    if count == 0:
        masks = torch.zeros(views, n, rows, t, dtype=torch.bool)
    else:
        subject = Subject.of(seed, sample_ids, None, views, (n, rows, units))
        words = subject.elements((code, 0))[..., :units]
        if code in spec.UNITS:
            masks = select(words, count).repeat_interleave(size, -1)[..., :t]
        else:
            parameters = subject.words((code, 0), 0, torch.arange(rows) << CHANNEL_SHIFT)
            masks = _runs(words, parameters[..., 1], plan)
    if intersection:
        masks = torch.cat([masks, masks.all(0, keepdim=True)])
    return masks.contiguous()


def _noise(x: Tensor, seed: Tensor, view: int, sample_ids: Tensor | None) -> Tensor:
    """Standard normals of the shape and dtype of x (N, C, T)."""
    n, c, t = x.shape
    subject = Subject.of(seed, sample_ids, None, 1, (n, c, t))
    blocks = (torch.arange(c) << CHANNEL_SHIFT)[:, None] + torch.arange((t + 3) // 4)
    words = subject.words((Code.NOISE, 0), ELEMENT_PURPOSE | view, blocks)[0].flatten(-2)
    pairs = arithmetic.normals(words[..., 0::2], words[..., 1::2], x.dtype)
    return torch.stack(pairs, dim=-1).flatten(-2)[..., :t].to(x.device)


def fill(
    x: Tensor,
    mask: Tensor,
    kind: int,
    token: Tensor | None,
    seed: Tensor | None,
    view: int,
    sample_ids: Tensor | None,
) -> Tensor:
    """x (N, C, T) with its hidden values replaced."""
    dtype = x.dtype
    x = x.to(spec.compute_dtype(dtype))
    if kind == Fill.TOKEN:
        assert token is not None
        value = token.to(x.dtype)[:, None]
    elif kind == Fill.ZERO:
        value = torch.zeros((), dtype=x.dtype, device=x.device)
    else:
        known = ~mask & ~x.isnan()
        wide = x.detach().double()
        count = fixed_sum(known.double())
        n = torch.where(count > 0, count, 1.0)
        mean = fixed_sum(torch.where(known, wide, 0.0)) / n
        value = mean.to(x.dtype)
        if kind == Fill.NOISE:
            assert seed is not None
            d = wide - mean
            std = arithmetic.root(fixed_sum(torch.where(known, d * d, 0.0)) / n).to(x.dtype)
            value = value + std * _noise(x, seed, view, sample_ids)
    return torch.where(mask, value, x).to(dtype).contiguous()


def fill_backward(grad: Tensor, mask: Tensor, token: bool) -> tuple[Tensor, Tensor]:
    """Gradients of `fill` in x and in the token, (0,) without one."""
    gx = torch.where(mask, 0.0, grad).contiguous()
    if not token:
        return gx, grad.new_zeros(0)
    wide = grad.to(spec.compute_dtype(grad.dtype))
    return gx, torch.where(mask, wide, 0.0).sum((0, 2)).to(grad.dtype)


def penalty(d: Tensor, kind: int, delta: float) -> Tensor:
    """The loss of every difference."""
    if kind == Loss.MSE:
        return d * d
    if kind == Loss.L1:
        return d.abs()
    return torch.where(d.abs() <= delta, 0.5 * d * d, delta * (d.abs() - 0.5 * delta))


def slope(d: Tensor, kind: int, delta: float) -> Tensor:
    """The derivative of `penalty`."""
    if kind == Loss.MSE:
        return 2 * d
    return d.sign() if kind == Loss.L1 else d.clamp(-delta, delta)


def loss(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
    reduction: int,
) -> tuple[Tensor, Tensor]:
    """The loss over hidden elements of (N, C, T), and what its gradient needs: (2, N or 1) float64,
    the value that a weight is compared with and the divisor."""
    dtype = spec.compute_dtype(pred.dtype)
    e = penalty(pred.to(dtype) - target.to(dtype), kind, delta)
    w = torch.ones_like(e) if weight is None else weight.to(dtype)
    axes = (1, 2) if reduction == Reduction.NONE else (0, 1, 2)
    total = torch.where(mask, w * e, 0.0).sum(axes)
    if reduction == Reduction.SUM:
        return total, torch.stack([torch.zeros_like(total), torch.ones_like(total)]).double()[
            :, None
        ]
    divisor = torch.where(mask, w, 0.0).sum(axes)
    value = torch.where(divisor == 0, 0.0, total / torch.where(divisor == 0, 1.0, divisor))
    saved = torch.stack([value.detach().double(), divisor.detach().double()])
    return value, saved.view(2, -1)


def loss_backward(
    grad: Tensor,
    saved: Tensor,
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    weight: Tensor | None,
    kind: int,
    delta: float,
) -> tuple[Tensor, Tensor]:
    """Gradients in the prediction and in the weights, (0,) without any."""
    dtype = spec.compute_dtype(pred.dtype)
    d = pred.to(dtype) - target.to(dtype)
    value, divisor = (row.to(dtype).view(-1, 1, 1) for row in saved)
    factor = torch.where(divisor == 0, 0.0, grad.to(dtype).reshape(-1, 1, 1) / divisor)
    w = 1.0 if weight is None else weight.to(dtype)
    gp = torch.where(mask, factor * w * slope(d, kind, delta), 0.0).to(pred.dtype)
    if weight is None:
        return gp, pred.new_zeros(0)
    gw = torch.where(mask, factor * (penalty(d, kind, delta) - value), 0.0)
    return gp, gw.to(weight.dtype)


def _index(keep: Tensor, width: int) -> Tensor:
    return keep[..., None].expand(*keep.shape, width)


def gather(x: Tensor, keep: Tensor) -> Tensor:
    """Rows `keep` (N, K) of x (N, L, D): (N, K, D)."""
    return x.gather(1, _index(keep, x.shape[2]))


def restore(visible: Tensor, keep: Tensor, length: int, token: Tensor | None) -> Tensor:
    """(N, L, D): row keep[n, k] is visible[n, k], every other row the token (D,), or zero."""
    n, _, d = visible.shape
    token = visible.new_zeros(d) if token is None else token
    return token.expand(n, length, d).scatter(1, _index(keep, d), visible)


def restore_backward(grad: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `restore` in the visible rows and in the token."""
    wide = grad.to(spec.compute_dtype(grad.dtype))
    others = wide.scatter(1, _index(keep, grad.shape[2]), 0.0)
    return gather(grad, keep), others.sum((0, 1)).to(grad.dtype)


def _why_not(op: str, tensors: Sequence[Tensor]) -> list[str]:
    return []


BACKEND = Backend(
    "reference",
    kernels={
        "mask": mask,
        "mask_fill": fill,
        "mask_fill_backward": fill_backward,
        "masked_loss": loss,
        "masked_loss_backward": loss_backward,
        "gather_tokens": gather,
        "restore_tokens": restore,
        "restore_tokens_backward": restore_backward,
    },
    why_not=_why_not,
    devices=frozenset({"cpu", "cuda", "xpu", "meta"}),
)
