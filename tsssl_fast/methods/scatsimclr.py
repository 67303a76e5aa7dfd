"""Contrast with a pretext task beside it."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tsssl_fast.common import checks
from tsssl_fast.losses import NTXentLoss
from tsssl_fast.methods.base import (
    Batch,
    Logs,
    Siamese,
    Views,
    alignment,
    out_features,
    projector,
    stacked_views,
)


def jigsaw(x: Tensor, order: Tensor, pieces: int) -> Tensor:
    """Series cut into pieces that are put in another order.

    Args:
        x: (N, C, T); the last T mod pieces steps stay. order: (N, pieces) int64, permutations.
    """
    length = x.shape[2] // pieces
    cut = x[..., : pieces * length].unflatten(2, (pieces, length))
    place = order[:, None, :, None].expand_as(cut)
    return torch.cat([cut.gather(2, place).flatten(2), x[..., pieces * length :]], dim=2)


class ScatSimCLR(Siamese):
    """SimCLR, and which order the pieces of each view were put in:

        loss = NTXent(z_1, z_2) + weight cross_entropy(classifier(encoder(jigsaw(view))), order)

    Source: ScatSimCLR: self-supervised contrastive learning with pretext task regularization for
    small-scale datasets, 2021, with `encoders.Scattering` as its encoder. Deviations: four pieces
    of time in all 24 orders; the contrast is on views whose pieces are in order.

    Args: as `Siamese`, and
        classifier: (N, F) -> (N, 24).
        weight: of the pretext task, >= 0.
    """

    takes_lengths = False
    PIECES = 4

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        loss: nn.Module,
        classifier: nn.Module,
        weight: float = 0.5,
    ) -> None:
        super().__init__(encoder, projector, views, loss)
        self.classifier = classifier
        self.weight = checks.non_negative("weight", weight)
        self.orders = torch.cartesian_prod(*[torch.arange(self.PIECES)] * self.PIECES)
        self.orders = self.orders[self.orders.sort(1).values.diff(dim=1).ne(0).all(1)]

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views, temperature: float = 0.2, weight: float = 0.5
    ) -> "ScatSimCLR":
        """A 256-128 projector and a linear classifier."""
        classifier = nn.Linear(out_features(encoder), 24)
        loss = NTXentLoss(temperature=temperature)
        return cls(encoder, projector(encoder), views, loss, classifier, weight)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        x = stacked_views(self.views, batch)
        source = torch.Generator().manual_seed(batch.seed)
        k = torch.randint(len(self.orders), (len(x),), generator=source)
        puzzled = jigsaw(x, self.orders[k].to(x.device), self.PIECES)
        h, turned = self.encode(torch.cat([x, puzzled])).chunk(2)
        z1, z2 = self.projector(h).chunk(2)
        pretext = cross_entropy(self.classifier(turned), k.to(x.device))
        logs = {"alignment": alignment(z1, z2), "pretext": pretext.detach()}
        return self.criterion(z1, z2) + self.weight * pretext, logs
