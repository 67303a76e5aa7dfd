"""Barlow Twins on time series."""

from typing import Any

from torch import Tensor, nn

from tsssl_fast.losses import BarlowTwinsLoss
from tsssl_fast.methods.base import Batch, Logs, Method, Views, alignment, mlp, two_views


class BarlowTwins(Method):
    """The cross-correlation of two views' embeddings over the batch approaches the identity.

        z_i = projector(encoder(view_i));  C = correlation of the columns of z1 with those of z2
        loss = sum_i (1 - C_ii)^2 + lambd sum_{i != j} C_ij^2

    Source: Zbontar et al., ICML 2021, equations 1 and 2; columns are centred, as in its code.

    Args:
        encoder: (N, C, T) -> (N, F).
        projector: (N, F) -> (N, D).
        views: x, seed, sample_ids -> (2, N, C, T).
        loss: (N, D), (N, D) -> scalar.
    """

    def __init__(
        self, encoder: nn.Module, projector: nn.Module, views: Views, loss: nn.Module
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.views = views
        self.criterion = loss

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views, width: int = 256, lambd: float = 0.02
    ) -> "BarlowTwins":
        """A width-width projector around an encoder that has `out_features`."""
        features: Any = encoder.out_features
        return cls(encoder, mlp(features, width, width), views, BarlowTwinsLoss(lambd=lambd))

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        z1, z2 = self.projector(self.encode(two_views(self.views, batch))).chunk(2)
        return self.criterion(z1, z2), {"alignment": alignment(z1, z2)}
