"""SimSiam on time series."""

from torch import Tensor, nn

from tsssl_fast.functional import negative_cosine_similarity
from tsssl_fast.methods.base import Batch, Logs, Siamese, Views, alignment, mlp, projector


class SimSiam(Siamese):
    """Each view's prediction points where the other view's embedding does, which does not move.

        z_i = projector(encoder(view_i));  p_i = predictor(z_i)
        loss = D(p_1, stop(z_2)) / 2 + D(p_2, stop(z_1)) / 2,  D(p, z) = -cos(p, z)

    No negatives, no momentum encoder: the predictor and the stopped gradient keep it from
    collapsing. Source: Chen and He, CVPR 2021, equation (4).

    Args: as `Siamese` without loss, but
        projector: ends in batch statistics.
        predictor: (N, D) -> (N, D), with a bottleneck.
    """

    def __init__(
        self, encoder: nn.Module, projector: nn.Module, predictor: nn.Module, views: Views
    ) -> None:
        super().__init__(encoder, projector, views, None)
        self.predictor = predictor

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views, width: int = 256, bottleneck: int = 64
    ) -> "SimSiam":
        """A width-width projector that ends in BN, and a predictor, around `out_features`."""
        layers = (*projector(encoder, width, width), nn.BatchNorm1d(width, affine=False))
        return cls(encoder, nn.Sequential(*layers), mlp(width, bottleneck, width), views)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        z = self.embed(batch)
        z1, z2 = z.chunk(2)
        p1, p2 = self.predictor(z).chunk(2)
        loss = (negative_cosine_similarity(p1, z2) + negative_cosine_similarity(p2, z1)) / 2
        # At collapse all z point the same way and this is 0; at an even spread it is 1 / sqrt(D).
        spread = nn.functional.normalize(z.detach()).std(0).mean()
        return loss, {"alignment": alignment(z1, z2), "spread": spread}
