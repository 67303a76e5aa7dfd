"""Operations that mix samples of a batch. They return who was mixed with whom, and how much."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from tsssl_fast import rng
from tsssl_fast.augment import _ranges
from tsssl_fast.augment._plain import Plain
from tsssl_fast.augment._ranges import Range
from tsssl_fast.ops.augment.spec import Code


class Mixed(NamedTuple):
    """x: (views, N, C, T). source: (views, N) int64, row of the other sample; its own if unmixed.

    weight: (views, N), share of the sample itself; 1 - weight belongs to the other.
    """

    x: Tensor
    source: Tensor
    weight: Tensor


def _partners(words: Tensor) -> Tensor:
    """The batch in random order, each followed by its partner: nobody meets itself but at N = 1."""
    order = words[..., 1].argsort(dim=-1, stable=True)
    return torch.empty_like(order).scatter_(-1, order, order.roll(-1, dims=-1))


def _pick(x: Tensor, index: Tensor) -> Tensor:
    return x.gather(1, index[..., None, None].expand(x.shape))


@dataclass(frozen=True)
class MixUp(Plain):
    """x~_i = w x_i + (1 - w) x_j with w uniform on a range (Zhang et al., ICLR 2018: Beta(1, 1)).

    Depends on the batch, as every mixing does. Differentiable with respect to x.

    Args:
        weight: range of w in [0, 1].
    """

    weight: Range = (0.0, 1.0)
    code: ClassVar[Code] = Code.MIXUP

    def check(self) -> None:
        _ranges.interval("weight", self.weight, 0, 1)

    def __call__(
        self,
        x: Tensor,
        views: int = 1,
        *,
        seed: int | torch.Generator | Tensor | None = None,
        sample_ids: Tensor | None = None,
        epoch: int = 0,
        step: int = 0,
        rank: int = 0,
    ) -> Mixed:
        """x: (N, C, T), or (views, N, C, T) from a pipeline. Other arguments as Compose's call."""
        batch = self.prepare(x, views, seed, sample_ids, epoch, step, rank)
        words = batch.words(3)
        low, high = _ranges.pair(self.weight)
        acts = self.coin(words)
        w = low + rng.uniform(words[..., 2], torch.float64) * (high - low)
        w = torch.where(acts, w, 1.0).to(batch.x.dtype)
        own = torch.arange(x.shape[-3], device=acts.device)
        index = torch.where(acts, _partners(words), own)
        share = w[..., None, None]
        mixed = batch.x * share + _pick(batch.x, index) * (1.0 - share)
        y = torch.where(acts[..., None, None], mixed, batch.x)
        return Mixed(y.to(x.dtype), index, w)


@dataclass(frozen=True)
class CutMix(Plain):
    """A window of time comes from another sample (Yun et al., ICCV 2019, along time).

    Depends on the batch, as every mixing does. Differentiable with respect to x.

    Args:
        length: of the window: share of T in (0, 1] (floats) or steps (integers), or a range.
    """

    length: Range = (0.1, 0.5)
    code: ClassVar[Code] = Code.CUTMIX

    def check(self) -> None:
        _ranges.size("length", self.length, 1 << 31)

    def __call__(
        self,
        x: Tensor,
        views: int = 1,
        *,
        seed: int | torch.Generator | Tensor | None = None,
        sample_ids: Tensor | None = None,
        epoch: int = 0,
        step: int = 0,
        rank: int = 0,
    ) -> Mixed:
        """x: (N, C, T), or (views, N, C, T) from a pipeline. Other arguments as Compose's call."""
        batch = self.prepare(x, views, seed, sample_ids, epoch, step, rank)
        words, t = batch.words(4), x.shape[-1]
        low, high = _ranges.pair(self.length)
        if _ranges.is_whole(self.length):
            if high > t:
                raise ValueError(f"length: {int(high)} steps; accepted: at most T = {t}")
            length = low + rng.below(words[..., 2], int(high - low) + 1)
        else:
            share = low + rng.uniform(words[..., 2], torch.float64) * (high - low)
            length = (share * t + 0.5).floor().clamp(1, t)
        start = rng.below(words[..., 3], (t - length).long() + 1)
        acts = self.coin(words)
        own = torch.arange(x.shape[-3], device=acts.device)
        index = torch.where(acts, _partners(words), own)
        step_of = torch.arange(t, device=acts.device)
        begin, end = start[..., None], (start + length)[..., None]
        inside = (step_of >= begin) & (step_of < end) & acts[..., None]
        y = torch.where(inside[:, :, None], _pick(batch.x, index), batch.x)
        weight = torch.where(acts, 1.0 - length.double() / t, 1.0).to(batch.x.dtype)
        return Mixed(y.to(x.dtype), index, weight)
