"""VICReg on time series."""

from torch import nn

from tsssl_fast.losses import VICRegLoss
from tsssl_fast.methods.base import SeveralViews, Views, projector


class VICReg(SeveralViews):
    """Views agree, every dimension keeps its spread, no two dimensions say the same.

        z_i = projector(encoder(view_i))
        loss = 25 invariance(z_1, z_2) + 25 variance(z_1, z_2) + covariance(z_1, z_2)

    Source: Bardes et al., ICLR 2022, equations (1) to (6), whose weights and scaling these are; the
    projector is its expander. More than two views keep the scale of two: means over pairs of views
    and over views.

    Args: as `SeveralViews`.
    """

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views,
        width: int = 256,
        invariance_weight: float = 25.0,
        variance_weight: float = 25.0,
        covariance_weight: float = 1.0,
        n_views: int = 2,
    ) -> "VICReg":
        """A width-width projector around an encoder that has `out_features`."""
        loss = VICRegLoss(
            invariance_weight=invariance_weight,
            variance_weight=variance_weight,
            covariance_weight=covariance_weight,
        )
        return cls(encoder, projector(encoder, width, width), views, loss, n_views)
