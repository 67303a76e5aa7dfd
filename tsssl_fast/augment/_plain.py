"""Operations in plain torch: they look at several samples or at a spectrum, so no program has them.

They draw from the same streams as all others, keyed by seed, epoch, step, rank, view and sample id.
"""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tsssl_fast import _checks, rng
from tsssl_fast.augment import _calls, _ranges
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.draws import Subject
from tsssl_fast.ops.augment.spec import Code


@dataclass(frozen=True)
class Batch:
    """Views to work on, and what they draw from."""

    x: Tensor  # (views, N, C, T) in the arithmetic's dtype
    subject: Subject
    code: Code

    def words(self, count: int) -> Tensor:
        """(views, N, count) words of the parameter stream, on the device of x."""
        blocks = torch.arange((count + 3) // 4)
        words = self.subject.words((self.code, 0), 0, blocks).flatten(-2)
        return words[..., :count].to(self.x.device)

    def elements(self, channels: int, steps: int) -> Tensor:
        """(views, N, channels, steps) words, one per element."""
        subject = dataclasses.replace(self.subject, channels=channels, steps=steps)
        return subject.elements((self.code, 0))[..., :steps].to(self.x.device)


@dataclass(frozen=True, kw_only=True)
class Plain:
    """p: probability that the operation acts on a sample of a view."""

    p: float = 1.0
    code: ClassVar[Code]

    def __post_init__(self) -> None:
        _ranges.probability("p", self.p)
        self.check()

    def check(self) -> None:
        """Raises for an argument out of its range."""

    def prepare(
        self,
        x: Tensor,
        views: int,
        seed: int | torch.Generator | Tensor | None,
        sample_ids: Tensor | None,
        epoch: int,
        step: int,
        rank: int,
    ) -> Batch:
        _checks.floating("x", x)
        if x.dim() not in (3, 4) or 0 in x.shape:
            raise ValueError(
                f"x: shape {tuple(x.shape)}; accepted: (N, C, T) or (views, N, C, T), all >= 1"
            )
        _ranges.integer("views", views, 1, spec.MAX_VIEWS)
        if x.dim() == 3:
            x = x.expand(views, *x.shape)
        ids = _calls.per_sample("sample_ids", sample_ids, x.shape[1])
        key = rng.seed_tensor(seed, epoch, step, rank)
        subject = Subject.of(key, ids, None, x.shape[0], x.shape[1:])
        return Batch(x.to(spec.compute_dtype(x.dtype)), subject, self.code)

    def coin(self, words: Tensor) -> Tensor:
        return words[..., 0] < round(self.p * spec.ALWAYS)
