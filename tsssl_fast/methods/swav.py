"""SwAV on time series."""

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.functional.clustering import assignment_loss, sinkhorn
from tsssl_fast.methods.base import Batch, Logs, Siamese, Views, alignment
from tsssl_fast.methods.base import projector as head_of
from tsssl_fast.methods.prototypes import MultiCrop, Prototypes, used


class SwAV(Siamese):
    """Every view predicts the cluster of the other views, where all clusters are equally large.

        s_v = cosines of projector(encoder(view_v)) with K prototypes
        q_w = sinkhorn(s_w, epsilon) for the two views w = 1, 2, without gradient
        loss = mean over w and v != w of cross_entropy(softmax(s_v / temperature), q_w)

    Equal clusters, not negatives, keep it from collapsing. Source: Unsupervised Learning of Visual
    Features by Contrasting Cluster Assignments, 2020, equations (1) to (3). Deviations: crops are
    stretched to the series' length; prototypes are scaled to length 1 where they are used, and
    learn from the first step; no queue of past scores, so choose K below the batch. Of several
    processes each balances its own rows.

    Args: as `Siamese` without loss, and
        prototypes: (N, D) -> (N, K) scores, such as `prototypes.Prototypes`.
        crops: views of short crops beside the two views, >= 0. length: a crop's share of T.
        temperature: > 0. epsilon: of the assignment, > 0. iterations: of Sinkhorn, >= 1.

    Raises ValueError naming the argument, and for a batch of one.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        views: Views,
        prototypes: nn.Module,
        crops: int = 0,
        length: float | tuple[float, float] = (0.2, 0.5),
        temperature: float = 0.1,
        epsilon: float = 0.05,
        iterations: int = 3,
    ) -> None:
        super().__init__(encoder, projector, views, None)
        self.prototypes = prototypes
        self.crops = MultiCrop(crops, length)
        checks.at_least("iterations", iterations, 1)
        self.temperature = checks.positive("temperature", temperature)
        self.epsilon = checks.positive("epsilon", epsilon)
        self.iterations = iterations

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views,
        clusters: float = 32,
        crops: float = 2,
        temperature: float = 0.1,
    ) -> "SwAV":
        """A 256-128 projector, few prototypes and two crops, as suit small data sets."""
        heads = head_of(encoder), views, Prototypes(128, int(clusters))
        return cls(encoder, *heads, int(crops), temperature=temperature)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        x, lengths = self.crops(self.views, batch)
        z = self.projector(self.encode(x, lengths=lengths))
        scores = self.prototypes(z).unflatten(0, (self.crops.n_views, -1))
        found = [sinkhorn(s, self.epsilon, self.iterations) for s in scores[:2].detach()]
        assignments = torch.stack(found)
        loss = assignment_loss(scores, assignments, self.temperature)
        sharp = (scores.detach() / self.temperature).softmax(-1)
        z1, z2 = z.unflatten(0, (self.crops.n_views, -1))[:2]
        return loss, {"alignment": alignment(z1, z2), "prototypes_used": used(sharp)}
