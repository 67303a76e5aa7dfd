"""Momentum teachers."""

import copy
import math
from collections.abc import Callable

import torch
from torch import nn

from tsssl_fast.common import checks

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
