"""SimCLR-TS."""

from typing import Any

from torch import Tensor, nn

from tsssl_fast.losses import NTXentLoss
from tsssl_fast.methods.base import Batch, Logs, Method, Views, alignment, mlp, two_views


class SimCLR(Method):
    """SimCLR on time series: two augmented views of one series attract, all others of the batch
    repel.

        x1, x2 = views(x);  z_i = projector(encoder(x_i));  loss = NTXent(z1, z2)

    Source: Algorithm 1 and equation (1) of the SimCLR-TS report; Chen et al., ICML 2020. Deviations
    from the report: its update rule ascends the gradient, this descends; it applies the loss to the
    encoder's output, this to a projector's as in the paper (`projector=nn.Identity()` is the
    report's form).

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
    def recipe(cls, encoder: nn.Module, views: Views, temperature: float = 0.2) -> "SimCLR":
        """A 256-128 projector and NT-Xent, around an encoder that has `out_features`."""
        features: Any = encoder.out_features
        return cls(encoder, mlp(features, 256, 128), views, NTXentLoss(temperature=temperature))

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        z1, z2 = self.projector(self.encode(two_views(self.views, batch))).chunk(2)
        return self.criterion(z1, z2), {"alignment": alignment(z1, z2)}
