"""VICReg on time series."""

from typing import Any

from torch import Tensor, nn

from tsssl_fast.losses import VICRegLoss
from tsssl_fast.methods.base import Batch, Logs, Method, Views, alignment, mlp, two_views


class VICReg(Method):
    """Two views agree, every dimension keeps its spread, no two dimensions say the same.

        z_i = projector(encoder(view_i))
        loss = 25 invariance(z1, z2) + 25 variance(z1, z2) + covariance(z1, z2)

    Source: Bardes et al., ICLR 2022, equations 1 to 6, weighted and scaled as in its code.

    Args:
        encoder: (N, C, T) -> (N, F).
        projector: (N, F) -> (N, D); called the expander in the paper.
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
        cls,
        encoder: nn.Module,
        views: Views,
        width: int = 256,
        invariance_weight: float = 25.0,
        variance_weight: float = 25.0,
        covariance_weight: float = 1.0,
    ) -> "VICReg":
        """A width-width projector around an encoder that has `out_features`."""
        features: Any = encoder.out_features
        loss = VICRegLoss(
            invariance_weight=invariance_weight,
            variance_weight=variance_weight,
            covariance_weight=covariance_weight,
        )
        return cls(encoder, mlp(features, width, width), views, loss)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        z1, z2 = self.projector(self.encode(two_views(self.views, batch))).chunk(2)
        return self.criterion(z1, z2), {"alignment": alignment(z1, z2)}
