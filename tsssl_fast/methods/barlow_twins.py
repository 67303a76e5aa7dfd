"""Barlow Twins on time series."""

from torch import nn

from tsssl_fast.losses import BarlowTwinsLoss
from tsssl_fast.methods.base import Siamese, Views, projector


class BarlowTwins(Siamese):
    """The cross-correlation of two views' embeddings over the batch approaches the identity.

        z_i = projector(encoder(view_i));  C = correlation of the columns of z_1 with those of z_2
        loss = sum_i (1 - C_ii)^2 + lambd sum_{i != j} C_ij^2

    Source: Zbontar et al., ICML 2021, equations (1) and (2); columns are centred, as in the
    authors' code.

    Args: as `Siamese`.
    """

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views, width: int = 256, lambd: float = 0.02
    ) -> "BarlowTwins":
        """A width-width projector around an encoder that has `out_features`."""
        loss = BarlowTwinsLoss(lambd=lambd)
        return cls(encoder, projector(encoder, width, width), views, loss)
