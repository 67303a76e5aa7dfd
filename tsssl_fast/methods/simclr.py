"""SimCLR on time series."""

from torch import nn

from tsssl_fast.losses import NTXentLoss
from tsssl_fast.methods.base import SeveralViews, Views, projector


class SimCLR(SeveralViews):
    """Augmented views of one series attract, all others of the batch repel.

        x_1, x_2 = views(x);  z_i = projector(encoder(x_i));  loss = NTXent(z_1, z_2)

    Source: Chen et al., ICML 2020, Algorithm 1 and equation (1). `projector=nn.Identity()` applies
    the loss to the encoder's output. Of more than two views a row has the others as positives.

    Args: as `SeveralViews`.
    """

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views, temperature: float = 0.2, n_views: int = 2
    ) -> "SimCLR":
        """A 256-128 projector and NT-Xent, around an encoder that has `out_features`."""
        loss = NTXentLoss(temperature=temperature)
        return cls(encoder, projector(encoder), views, loss, n_views)
