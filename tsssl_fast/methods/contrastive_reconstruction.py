"""Contrastive learning and masked reconstruction in one step, by any encoder with features over
time.
"""

from typing import Any

from torch import Tensor, nn

from tsssl_fast import masking
from tsssl_fast.common import checks
from tsssl_fast.encoders.padding import strided
from tsssl_fast.encoders.pool import mean_max
from tsssl_fast.losses import NTXentLoss
from tsssl_fast.methods.base import Batch, Logs, Siamese, Views, alignment, projector, stacked_views
from tsssl_fast.methods.masked_reconstruction import Steps, reconstruct
from tsssl_fast.methods.tokens import check_hides, check_ratio


class ContrastiveReconstruction(Siamese):
    """Two views of a series, each with gaps: both are rebuilt, and their features agree.

        x1, x2 = views(x);  x~_i = x_i with hidden steps 0;  h_i = feature_map(x~_i)
        loss = NTXent(z_1, z_2) + weight * mean over hidden steps of both of (head(h_i) - x_i)^2
        z_i = projector([mean, maximum] over time of h_i)

    Source: `ContrastiveMasked` (Lee et al., NeuroNet, 2024) with runs of single steps of a channel
    hidden as in `MaskedReconstruction`, so that a convolutional encoder takes it. One pass of the
    encoder serves both terms: a step costs what one of SimCLR does, and the head.

    Args:
        encoder: with `feature_map`: (N, C, T) -> (N, F, 1, L).
        projector: (N, 2F) -> (N, D).
        head: (N, F, L) -> (N, C, L'), interpolated to T.
        views: x, seed, sample_ids -> (2, N, C, T).
        loss: (N, D), (N, D) -> scalar.
        ratio, size: of `masking.random_mask` with mode "geometric", for every channel by itself.
        weight: of the reconstruction, >= 0.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        head: nn.Module,
        views: Views,
        loss: nn.Module,
        ratio: float = 0.5,
        size: int = 8,
        weight: float = 1.0,
    ) -> None:
        super().__init__(encoder, projector, views, loss)
        self.head = head
        self.ratio = check_ratio(ratio)
        self.size = size
        self.weight = checks.non_negative("weight", weight)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views,
        temperature: float = 0.2,
        ratio: float = 0.5,
        size: float = 8,
        weight: float = 1.0,
    ) -> "ContrastiveReconstruction":
        """SimCLR's 256-128 projector and the linear head of `MaskedReconstruction`."""
        loss = NTXentLoss(temperature=temperature)
        heads = projector(encoder), Steps.of(encoder)
        return cls(encoder, *heads, views, loss, ratio, int(size), weight)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        x = stacked_views(self.views, batch)
        hidden = masking.random_mask(
            batch.x.shape,
            check_hides(self.ratio, x.shape[2], "geometric"),
            mode="geometric",
            size=self.size,
            per_channel=True,
            views=2,
            seed=batch.seed,
            sample_ids=batch.sample_ids,
            device=x.device,
        ).flatten(0, 1)
        lengths = None if batch.lengths is None else batch.lengths.repeat(2)
        reconstruction, h = reconstruct(self, self.head, x, hidden, lengths)
        if lengths is not None:
            encoder: Any = self.encoder
            lengths = strided(lengths, encoder.stride)
        z1, z2 = self.projector(mean_max(h, lengths)).chunk(2)
        logs = {"reconstruction": reconstruction.detach(), "alignment": alignment(z1, z2)}
        return self.criterion(z1, z2) + self.weight * reconstruction, logs
