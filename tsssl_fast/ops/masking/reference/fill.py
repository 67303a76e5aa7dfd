"""`mask_fill`: the definition."""

import torch
from torch import Tensor

from tsssl_fast.backends.precision import widest
from tsssl_fast.ops.augment.reference import arithmetic
from tsssl_fast.ops.augment.reference.draws import Subject
from tsssl_fast.ops.augment.reference.pointwise import fixed_sum
from tsssl_fast.ops.augment.spec import CHANNEL_SHIFT, ELEMENT_PURPOSE
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.spec import Code, Fill


def _noise(x: Tensor, seed: Tensor, view: int, sample_ids: Tensor | None) -> Tensor:
    """Standard normals of the shape and dtype of x (N, C, T)."""
    n, c, t = x.shape
    subject = Subject.of(seed, sample_ids, None, 1, (n, c, t))
    blocks = (torch.arange(c) << CHANNEL_SHIFT)[:, None] + torch.arange((t + 3) // 4)
    words = subject.words((Code.NOISE, 0), ELEMENT_PURPOSE | view, blocks)[0].flatten(-2)
    pairs = arithmetic.normals(words[..., 0::2], words[..., 1::2], x.dtype)
    return torch.stack(pairs, dim=-1).flatten(-2)[..., :t].to(x.device)


def mask_fill(
    x: Tensor,
    hidden: Tensor,
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
        known = ~hidden & ~x.isnan()
        wide = x.detach().to(widest(x))
        count = fixed_sum(known.to(wide.dtype))
        n = torch.where(count > 0, count, 1.0)
        mean = fixed_sum(torch.where(known, wide, 0.0)) / n
        value = mean.to(x.dtype)
        if kind == Fill.NOISE:
            assert seed is not None
            d = wide - mean
            std = arithmetic.root(fixed_sum(torch.where(known, d * d, 0.0)) / n).to(x.dtype)
            value = value + std * _noise(x, seed, view, sample_ids)
    return torch.where(hidden, value, x).to(dtype).contiguous()


def mask_fill_backward(grad: Tensor, hidden: Tensor, token: bool) -> tuple[Tensor, Tensor]:
    """Gradients of `mask_fill` in x and in the token, (0,) without one."""
    gx = torch.where(hidden, 0.0, grad).contiguous()
    if not token:
        return gx, grad.new_zeros(0)
    wide = grad.to(spec.compute_dtype(grad.dtype))
    return gx, torch.where(hidden, wide, 0.0).sum((0, 2)).to(grad.dtype)
