"""BYOL on time series."""

from torch import Tensor, nn

from tsssl_fast.functional import negative_cosine_similarity
from tsssl_fast.methods.base import Batch, Logs, Views, alignment, mlp, stacked_views
from tsssl_fast.methods.base import projector as head_of
from tsssl_fast.methods.teacher import MomentumViews, Schedule


class BYOL(MomentumViews):
    """Each view's prediction points where a momentum copy puts the other view.

        p_i = predictor(projector(encoder(view_i)));  t_i = momentum_projector(momentum_encoder(.))
        loss = ((2 - 2 cos(p_1, t_2)) + (2 - 2 cos(p_2, t_1))) / 2
        after each step: momentum weights <- m momentum weights + (1 - m) weights

    No negatives: the predictor and the slow copy, which gets no gradient, keep it from collapsing.
    Source: Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, 2020, equation
    (2). Deviation: the mean of both directions, where their sum is printed.

    Args: as `Siamese` without loss, and
        predictor: (N, D) -> (N, D).
        momentum: m in [0, 1), or a schedule of `methods.teacher`: that of the paper is
            `cosine_momentum(0.996, steps)`.

    Raises ValueError for a batch of one, or a momentum out of its range.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        predictor: nn.Module,
        momentum: float | Schedule = 0.95,
    ) -> None:
        super().__init__(encoder, projector, views, momentum)
        self.predictor = predictor

    @classmethod
    def recipe(cls, encoder: nn.Module, views: Views, momentum: float = 0.95) -> "BYOL":
        """A 256-128 projector, a 256-128 predictor and a fast teacher, as suit small data sets."""
        return cls(encoder, head_of(encoder), views, mlp(128, 256, 128), momentum)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        x = stacked_views(self.views, batch)
        lengths = None if batch.lengths is None else batch.lengths.repeat(2)
        p1, p2 = self.predictor(self.projector(self.encode(x, lengths=lengths))).chunk(2)
        t = self.keys(x, lengths)
        t1, t2 = t.chunk(2)
        loss = 2 + negative_cosine_similarity(p1, t2) + negative_cosine_similarity(p2, t1)
        # At collapse all t point the same way and this is 0; at an even spread it is 1 / sqrt(D).
        spread = nn.functional.normalize(t).std(0).mean()
        return loss, {"alignment": alignment(p1, t2), "spread": spread}
