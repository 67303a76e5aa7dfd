"""Losses of assignments to prototypes, in plain torch: SwAV, DINO, iBOT, MSN."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import field
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tsssl_fast.common import checks, collectives
from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.compat._shared import AmongProcesses, result, widened

__all__ = ["DINOLoss", "IBOTPatchLoss", "MSNLoss", "SwaVLoss"]


@torch.no_grad()
def _balanced(scores: Tensor, iterations: int, among_processes: bool) -> Tensor:
    """Rows of exp(scores) after `iterations` of scaling columns, then rows, to equal sums (Cuturi,
    2013), in logarithms; the columns' sums are over all processes where asked. (N, K)."""

    def over_rows(x: Tensor) -> Tensor:
        total = x.logsumexp(0, keepdim=True)
        return collectives.gather_rows(total).logsumexp(0) if among_processes else total[0]

    if iterations < 1:
        count = len(scores) * (collectives.world_size() if among_processes else 1)
        return (scores - over_rows(scores).logsumexp(0) + math.log(count)).exp()
    for _ in range(iterations):
        scores = scores - over_rows(scores)
        scores = scores - scores.logsumexp(1, keepdim=True)
    return scores.exp()


def _cross_entropy(targets: Tensor, logits: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(-1)).sum(-1)


class SwaVLoss(DeclaredModule):
    """SwAV's swapped prediction (Caron et al., NeurIPS 2020): every crop predicts the balanced
    assignments of each high-resolution crop but its own.

    Args:
        temperature: of the predictions. sinkhorn_iterations, sinkhorn_epsilon: of the assignments.
        sinkhorn_gather_distributed: balanced over the batches of all processes.

    forward(high_resolution_outputs, low_resolution_outputs, queue_outputs=None): lists of scores
    (N, K), of the queue (Q, K) per high-resolution crop -> (1,).
    """

    temperature: float = 0.1
    sinkhorn_iterations: int = 3
    sinkhorn_epsilon: float = 0.05
    sinkhorn_gather_distributed: AmongProcesses = False

    def forward(
        self,
        high_resolution_outputs: Sequence[Tensor],
        low_resolution_outputs: Sequence[Tensor],
        queue_outputs: Sequence[Tensor] | None = None,
    ) -> Tensor:
        crops = widened(*high_resolution_outputs, *low_resolution_outputs)
        losses = []
        for i, scores in enumerate(crops[: len(high_resolution_outputs)]):
            known = [scores.detach()]
            if queue_outputs is not None:
                known.append(queue_outputs[i].detach().to(scores.dtype))
            targets = _balanced(
                torch.cat(known) / self.sinkhorn_epsilon,
                self.sinkhorn_iterations,
                self.sinkhorn_gather_distributed,
            )[: len(scores)]
            others = [c for j, c in enumerate(crops) if j != i]
            losses += [_cross_entropy(targets, c / self.temperature).mean() for c in others]
        return result(torch.stack(losses).mean().reshape(1), high_resolution_outputs[0])


def _mean_of_processes(x: Tensor) -> Tensor:
    return collectives.sum_over_processes(x) / collectives.world_size()


class DINOLoss(DeclaredModule):
    """DINO (Caron et al., ICCV 2021): the student's views predict the centred, sharpened
    assignments of the teacher's other views.

    Args:
        output_dim: K. warmup_teacher_temp, teacher_temp, warmup_teacher_temp_epochs: the teacher's
            temperature rises from the first to the second over so many epochs. student_temp.
        center_momentum: of the running centre. center_mode: "mean".

    forward(teacher_out, student_out, teacher_temp=None, epoch=None): lists of (N, K), view i of
    both of the same crop -> scalar; the centre moves. State: center (1, 1, K).
    """

    center: Tensor = field(init=False)
    output_dim: int = 65536
    warmup_teacher_temp: float = 0.04
    teacher_temp: float = 0.04
    warmup_teacher_temp_epochs: int = 30
    student_temp: float = 0.1
    center_momentum: float = 0.9
    center_mode: Annotated[str, checks.by(checks.choice, ("mean",))] = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.teacher_temp_schedule = torch.linspace(
            self.warmup_teacher_temp, self.teacher_temp, self.warmup_teacher_temp_epochs
        )
        self.register_buffer("center", torch.zeros(1, 1, self.output_dim))

    def forward(
        self,
        teacher_out: Sequence[Tensor],
        student_out: Sequence[Tensor],
        teacher_temp: float | None = None,
        epoch: int | None = None,
    ) -> Tensor:
        if teacher_temp is None:
            warming = epoch is not None and epoch < self.warmup_teacher_temp_epochs
            teacher_temp = (
                float(self.teacher_temp_schedule[epoch]) if warming else self.teacher_temp
            )
        teacher, student = widened(torch.stack(list(teacher_out)), torch.stack(list(student_out)))
        targets = ((teacher - self.center) / teacher_temp).softmax(-1)
        predicted = (student / self.student_temp).log_softmax(-1)
        pairs = -torch.einsum("tbd,sbd->ts", targets, predicted)
        same = torch.eye(*pairs.shape, dtype=torch.bool, device=pairs.device)
        count = pairs.numel() - min(pairs.shape)
        if count == 0:
            raise ValueError("teacher_out, student_out: one view; accepted: two or more in all")
        loss = pairs.masked_fill(same, 0.0).sum() / (count * teacher.shape[1])
        self.update_center(teacher)
        return result(loss, student_out[0])

    @torch.no_grad()
    def update_center(self, teacher_out: Tensor) -> None:
        """Moves the centre towards the mean of (V, N, K), over all processes."""
        mean = _mean_of_processes(teacher_out.mean(dim=(0, 1), keepdim=True))
        self.center.lerp_(mean.to(self.center.dtype), 1 - self.center_momentum)


class _Center(DeclaredModule):
    """The running mean of rows, (1, K), under the name that checkpoints have for it."""

    center: Tensor = field(init=False)
    size: tuple[int, ...]
    momentum: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.register_buffer("center", torch.zeros(self.size))

    @property
    def value(self) -> Tensor:
        return self.center

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        mean = _mean_of_processes(x.mean(dim=0, keepdim=True))
        self.center.lerp_(mean.to(self.center.dtype), 1 - self.momentum)


class IBOTPatchLoss(DeclaredModule):
    """iBOT's loss of masked patches (Zhou et al., ICLR 2022): the mean over images of the mean over
    their masked patches of the cross-entropy with the teacher's centred assignments.

    Args: as for DINOLoss.

    forward(teacher_out, student_out, mask, teacher_temp=None): (M, K) scores of the masked patches,
    in the order of mask (N, H, W) bool -> scalar; the centre moves. State: center.center (1, K).
    """

    output_dim: int = 65536
    teacher_temp: float = 0.04
    student_temp: float = 0.1
    center_mode: Annotated[str, checks.by(checks.choice, ("mean",))] = "mean"
    center_momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        self.center = _Center((1, self.output_dim), self.center_momentum)

    def forward(
        self,
        teacher_out: Tensor,
        student_out: Tensor,
        mask: Tensor,
        teacher_temp: float | None = None,
    ) -> Tensor:
        temperature = self.teacher_temp if teacher_temp is None else teacher_temp
        teacher, student = widened(teacher_out, student_out)
        targets = ((teacher - self.center.value) / temperature).softmax(-1)
        loss = _cross_entropy(targets, student / self.student_temp)
        masked = mask.flatten(1).sum(dim=1).clamp_min(1)
        of_image = torch.repeat_interleave(1 / masked, mask.flatten(1).sum(dim=1))
        loss = (loss * of_image).sum() / mask.shape[0]
        self.center.update(teacher)
        return result(loss, student_out)


class MSNLoss(DeclaredModule):
    """Masked siamese networks (Assran et al., ECCV 2022): anchors predict the sharpened, balanced
    assignments of their targets; the anchors' mean assignment keeps its entropy.

    Args:
        temperature: > 0. sinkhorn_iterations: >= 0. regularization_weight: of the entropy.
        me_max_weight: the name that regularization_weight had; None: not given.
        gather_distributed: balanced over the batches of all processes.

    By position: these five, or lightly 1.6.0's four, which are without me_max_weight; a bool there
    is gather_distributed. Raises ValueError for both at once.

    forward(anchors, targets, prototypes, target_sharpen_temperature=0.25): (V N, D), (N, D),
    (K, D) -> scalar in the anchors' dtype.
    """

    temperature: Annotated[float, checks.positive] = 0.1
    sinkhorn_iterations: Annotated[int, checks.non_negative] = 3
    regularization_weight: float = 1.0
    me_max_weight: float | None = None
    gather_distributed: AmongProcesses = False

    def __post_init__(self) -> None:
        if isinstance(self.me_max_weight, bool):
            if self.gather_distributed:
                raise ValueError(
                    f"me_max_weight: {self.me_max_weight} with gather_distributed; accepted: "
                    "a number or None"
                )
            self.gather_distributed, self.me_max_weight = self.me_max_weight, None
        super().__post_init__()
        if self.me_max_weight is not None:
            warnings.warn(
                "me_max_weight: use regularization_weight, as which it counts",
                DeprecationWarning,
                stacklevel=3,
            )
            self.regularization_weight = self.me_max_weight

    def forward(
        self,
        anchors: Tensor,
        targets: Tensor,
        prototypes: Tensor,
        target_sharpen_temperature: float = 0.25,
    ) -> Tensor:
        a, t, p = (normalize(x, dim=1) for x in widened(anchors, targets, prototypes))
        predicted = (a @ p.T / self.temperature).log_softmax(1)
        with torch.no_grad():
            logits = t @ p.T / (self.temperature * target_sharpen_temperature)
            wanted = logits.log_softmax(1)
            if self.sinkhorn_iterations:
                many = self.gather_distributed
                assigned = _balanced(wanted, self.sinkhorn_iterations, many)
            else:
                assigned = wanted.exp()
            assigned = assigned.repeat(len(anchors) // len(targets), 1)
        loss = -(assigned * predicted).sum(dim=1).mean()
        if self.regularization_weight > 0:
            term = self.regularization_loss(predicted.exp().mean(dim=0))
            loss = loss + self.regularization_weight * term
        return result(loss, anchors)

    def regularization_loss(self, mean_anchor_probs: Tensor) -> Tensor:
        """log K minus the entropy of the mean assignment (K,)."""
        p = mean_anchor_probs
        return torch.special.xlogy(p, p).sum() + math.log(len(p))
