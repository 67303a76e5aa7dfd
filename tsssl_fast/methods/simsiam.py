"""SimSiam on time series."""

from typing import Any

from torch import Tensor, nn

from tsssl_fast.functional import negative_cosine_similarity
from tsssl_fast.methods.base import Batch, Logs, Method, Views, alignment, mlp, two_views


class SimSiam(Method):
    """Each view's prediction points where the other view's embedding does, which does not move.

        z_i = projector(encoder(view_i));  p_i = predictor(z_i)
        loss = D(p1, stop(z2)) / 2 + D(p2, stop(z1)) / 2,  D(p, z) = -cos(p, z)

    No negatives, no momentum encoder: the predictor and the stopped gradient keep it from
    collapsing. Source: row SimSiam of the report's table of losses, whose equation (9) it does not
    print; Chen and He, CVPR 2021.

    Args:
        encoder: (N, C, T) -> (N, F).
        projector: (N, F) -> (N, D), ending in batch statistics.
        predictor: (N, D) -> (N, D), with a bottleneck.
        views: x, seed, sample_ids -> (2, N, C, T).
    """

    def __init__(
        self, encoder: nn.Module, projector: nn.Module, predictor: nn.Module, views: Views
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.predictor = predictor
        self.views = views

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views, width: int = 256, bottleneck: int = 64
    ) -> "SimSiam":
        """A width-width projector that ends in BN, and a predictor, around `out_features`."""
        features: Any = encoder.out_features
        projector = nn.Sequential(*mlp(features, width, width), nn.BatchNorm1d(width, affine=False))
        return cls(encoder, projector, mlp(width, bottleneck, width), views)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        z = self.projector(self.encode(two_views(self.views, batch)))
        z1, z2 = z.chunk(2)
        p1, p2 = self.predictor(z).chunk(2)
        loss = (negative_cosine_similarity(p1, z2) + negative_cosine_similarity(p2, z1)) / 2
        # At collapse all z point the same way and this is 0; at an even spread it is 1 / sqrt(D).
        spread = nn.functional.normalize(z.detach()).std(0).mean()
        return loss, {"alignment": alignment(z1, z2), "spread": spread}
