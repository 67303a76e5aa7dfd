"""MoCo v3 on time series."""

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.functional import info_nce_loss
from tsssl_fast.methods.base import Batch, Logs, Views, alignment, mlp, stacked_views
from tsssl_fast.methods.base import projector as head_of
from tsssl_fast.methods.teacher import MomentumViews, Schedule


class MoCoV3(MomentumViews):
    """The prediction of each view against the momentum embeddings of the other views of the batch.

        q_i = predictor(projector(encoder(view_i)));  k_i = momentum_projector(momentum_encoder(.))
        loss = (InfoNCE(q_1, k_2) + InfoNCE(q_2, k_1)) / 2
        after each step: momentum weights <- m momentum weights + (1 - m) weights

    Source: An Empirical Study of Training Self-Supervised Vision Transformers, 2021. Deviation:
    the mean of both directions, where 2 tau times their sum is printed.

    Args: as `Siamese` without loss, and
        predictor: (N, D) -> (N, D).
        temperature: tau > 0.
        momentum: m in [0, 1), or a schedule of `methods.teacher`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        predictor: nn.Module,
        temperature: float = 0.2,
        momentum: float | Schedule = 0.95,
    ) -> None:
        super().__init__(encoder, projector, views, momentum)
        self.predictor = predictor
        self.temperature = checks.positive("temperature", temperature)

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views, temperature: float = 0.2, momentum: float = 0.95
    ) -> "MoCoV3":
        """A 256-128 projector, a 256-128 predictor and a fast teacher, as suit small data sets."""
        heads = head_of(encoder), views, mlp(128, 256, 128)
        return cls(encoder, *heads, temperature, momentum)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        x = stacked_views(self.views, batch)
        lengths = None if batch.lengths is None else batch.lengths.repeat(2)
        q = self.predictor(self.projector(self.encode(x, lengths=lengths)))
        k = self.keys(x, lengths)
        (q1, q2), (k1, k2) = q.chunk(2), k.chunk(2)
        directions = [
            info_nce_loss(
                *pair,
                temperature=self.temperature,
                precision=self.precision,
                process_group=self.process_group,
                ddp=self.ddp,
            )
            for pair in ((q1, k2), (q2, k1))
        ]
        return torch.stack(directions).mean(), {"alignment": alignment(q1, k2)}
