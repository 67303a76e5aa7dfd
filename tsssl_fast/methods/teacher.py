"""Momentum teachers, and methods of views with momentum copies of encoder and projector."""

import copy
import math
from collections.abc import Callable

import torch
from torch import nn

from tsssl_fast.common import checks
from tsssl_fast.methods.base import SeveralViews, Views

Schedule = Callable[[int], float]


def cosine_momentum(start: float, steps: int) -> Schedule:
    """m(step) = 1 - (1 - start) (1 + cos(pi step / steps)) / 2: from `start` to 1 (Grill et al.,
    BYOL, NeurIPS 2020); 1 from there on."""
    checks.fraction("start", start)
    if steps < 1:
        raise ValueError(f"steps: {steps}; accepted: 1 or more")

    def momentum(step: int) -> float:
        return 1 - (1 - start) * (1 + math.cos(math.pi * min(step, steps) / steps)) / 2

    return momentum


class MomentumTeacher(nn.Module):
    """A copy of a module that follows it: weights <- m weights + (1 - m) module's weights.

    All parameters move in one `torch._foreach_lerp_`; buffers of running statistics are the
    teacher's own.

    Args:
        student: what is copied; it is not kept.
        momentum: m in [0, 1), or a schedule: the number of updates so far -> m in [0, 1].
    """

    steps: torch.Tensor

    def __init__(self, student: nn.Module, momentum: float | Schedule = 0.99) -> None:
        super().__init__()
        if not callable(momentum):
            checks.fraction("momentum", momentum)
        self.module = copy.deepcopy(student).requires_grad_(False)
        self.momentum = momentum
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            output: torch.Tensor = self.module(*args)
        return output

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """One step towards `student`, to be called after the optimizer's."""
        m = self.momentum(int(self.steps)) if callable(self.momentum) else self.momentum
        torch._foreach_lerp_(list(self.module.parameters()), list(student.parameters()), 1 - m)
        self.steps += 1


class MomentumViews(SeveralViews):
    """`SeveralViews` without loss, with momentum copies of encoder and projector.

    Args: as `SeveralViews` without loss, and
        momentum: m in [0, 1), or a schedule.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        momentum: float | Schedule,
        n_views: int = 2,
    ) -> None:
        super().__init__(encoder, projector, views, None, n_views)
        self.momentum_encoder = MomentumTeacher(encoder, momentum)
        self.momentum_projector = MomentumTeacher(projector, momentum)

    def keys(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """(M, D), constants: the copies' embeddings of M views.

        x: (M, C, T); lengths: (M,) int64, its steps that are no padding, or None.
        """
        k: torch.Tensor = self.momentum_projector(self.encode(x, self.momentum_encoder, lengths))
        return k

    def after_step(self) -> None:
        self.momentum_encoder.update(self.encoder)
        self.momentum_projector.update(self.projector)
