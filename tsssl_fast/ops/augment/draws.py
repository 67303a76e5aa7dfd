"""The random numbers of a program in plain torch: the definition of csrc/augment/program.h.

Counter of a block of four words: (block, stream, sample id low, high); key: rng.fold_seed.
Stream: code << 24 | occurrence << 16 | purpose << 15 | view, with the occurrence counted among the
operations of the same code. Purpose 0 holds parameters, word i for slot i; purpose 1 one word per
element, block = channel << 17 | step // 4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tsssl_fast import rng
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.spec import Code


@dataclass(frozen=True)
class Subject:
    """What the draws of a batch depend on: views x samples, C channels, T steps."""

    key: rng.Key
    ids: Tensor  # (N,) int64
    views: int
    channels: int
    steps: int

    @staticmethod
    def of(seed: Tensor, sample_ids: Tensor | None, views: int, shape: Sequence[int]) -> "Subject":
        n, c, t = shape
        ids = torch.arange(n) if sample_ids is None else sample_ids.cpu()
        return Subject(rng.fold_seed(*seed.tolist()), ids, views, c, t)

    def words(self, row: Sequence[float], purpose: int, blocks: Tensor) -> Tensor:
        """(views, N, *blocks.shape, 4) int64."""
        stream = int(row[spec.CODE]) << 24 | int(row[spec.OCCURRENCE]) << 16 | purpose
        lift = (1,) * blocks.dim()
        view = torch.arange(self.views).view(-1, 1, *lift)
        ids = self.ids.view(1, -1, *lift)
        counter = torch.broadcast_tensors(
            blocks, stream | view, ids & 0xFFFFFFFF, (ids >> 32) & 0xFFFFFFFF
        )
        return torch.stack(rng.philox(tuple(counter), self.key), dim=-1)  # type: ignore[arg-type]

    def elements(self, row: Sequence[float]) -> Tensor:
        """One word per element: (views, N, C, T rounded up to a multiple of 4)."""
        quads = torch.arange((self.steps + 3) // 4)
        channels = torch.arange(self.channels) << spec.CHANNEL_SHIFT
        return self.words(row, spec.ELEMENT_PURPOSE, channels[:, None] + quads).flatten(-2)


def between(word: Tensor, lo: float, hi: float) -> Tensor:
    return lo + rng.uniform(word, torch.float64) * (hi - lo)


def _blockout(words: Tensor, a: Sequence[float], t: int) -> list[Tensor]:
    if a[0] == 0:
        length = (between(words[..., 1], a[1], a[2]) * t + 0.5).floor().clamp(1, t)
    else:
        length = a[1] + rng.below(words[..., 1], int(a[2] - a[1]) + 1).double()
    start = rng.below(words[..., 2], (t - length).long() + 1).double()
    return [length, start]


def _crop_resize(words: Tensor, a: Sequence[float], t: int) -> list[Tensor]:
    length = (between(words[..., 1], a[0], a[1]) * t).clamp_min(1.0)
    return [length, rng.uniform(words[..., 2], torch.float64) * (t - length)]


def _magnitude_warp(words: Tensor, a: Sequence[float], t: int) -> list[Tensor]:
    amplitude = between(words[..., 1], a[0], a[1])
    periods = between(words[..., 2], a[2], a[3])
    return [amplitude, periods, *(words[..., 3:].double() * 2.0**-32).unbind(-1)]


def _time_warp(words: Tensor, a: Sequence[float], t: int) -> list[Tensor]:
    strength = between(words[..., 1], a[0], a[1])
    turns = rng.uniform(words[..., 2:], torch.float64) * 2.0 - 1.0
    return [strength, *(strength[..., None] * turns + 1.0).unbind(-1)]


def _one_range(words: Tensor, a: Sequence[float], t: int) -> list[Tensor]:
    return [between(words[..., 1], a[0], a[1])]


_SLOTS: dict[Code, Callable[[Tensor, Sequence[float], int], list[Tensor]]] = {
    Code.BLOCKOUT: _blockout,
    Code.RANDOM_NOISE: _one_range,
    Code.CROP_RESIZE: _crop_resize,
    Code.MAGNITUDE_WARP: _magnitude_warp,
    Code.TIME_WARP: _time_warp,
    Code.SMOOTH: _one_range,
}


def draw(program: Sequence[Sequence[float]], subject: Subject) -> Tensor:
    """Parameters of every row, acting or not: (views, N, slots) float64."""
    columns: list[Tensor] = []
    for row in program:
        count = int(row[spec.FIXED_SLOTS]) + int(row[spec.CHANNEL_SLOTS]) * subject.channels
        blocks = torch.arange((count + 3) // 4)
        words = subject.words(row, 0, blocks).flatten(-2)[..., :count]
        active = words[..., 0] < int(row[spec.THRESHOLD])
        if row[spec.VIEW] >= 0:
            active &= (torch.arange(subject.views) == int(row[spec.VIEW]))[:, None]
        columns.append(active.double())
        if make := _SLOTS.get(Code(int(row[spec.CODE]))):
            columns += make(words, row[-spec.ARGUMENTS :], subject.steps)
    shape = (subject.views, len(subject.ids))
    return torch.stack(columns, dim=-1) if columns else torch.empty((*shape, 0)).double()
