"""Losses of pairs of rows and of nearest neighbours, in plain torch: our products are not in them,
but for VICReg's between the matched features of VICRegL."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, mse_loss, normalize, pairwise_distance

from tsssl_fast.common import collectives
from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.compat._shared import AmongProcesses, promoted, result, widened
from tsssl_fast.compat.lightly.decorrelation import VICRegLoss

__all__ = [
    "KoLeoLoss",
    "NegativeCosineSimilarity",
    "SymNegCosineSimilarityLoss",
    "VICRegLLoss",
]

Features = Sequence[tuple[Tensor, Tensor]]
_BLOCK = 1024  # rows whose similarities to all others are in memory at a time


class NegativeCosineSimilarity(DeclaredModule):
    """-mean cos(x0, x1) along `dim`, with gradient to both (SimSiam, Chen and He, CVPR 2021, whose
    stop of the gradient is the caller's).

    forward(x0, x1): tensors alike in shape -> scalar in the inputs' dtype.
    """

    dim: int = 1
    eps: float = 1e-8

    def forward(self, x0: Tensor, x1: Tensor) -> Tensor:
        x0, x1 = promoted(x0, x1)
        a, b = widened(x0, x1)
        return result(-cosine_similarity(a, b, self.dim, self.eps).mean(), x0)


class SymNegCosineSimilarityLoss(DeclaredModule):
    """SimSiam's symmetric loss, no gradient into the projections; a DeprecationWarning says that
    NegativeCosineSimilarity replaces it.

    forward((z0, p0), (z1, p1)): projections and predictions (N, D) -> scalar.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        warnings.warn(
            "SymNegCosineSimilarityLoss: use NegativeCosineSimilarity, which lightly keeps",
            DeprecationWarning,
            stacklevel=3,
        )

    def forward(self, out0: tuple[Tensor, Tensor], out1: tuple[Tensor, Tensor]) -> Tensor:
        (z0, p0), (z1, p1) = out0, out1
        pairs = (promoted(p0, z1), promoted(p1, z0))
        losses = [self._neg_cosine_simililarity(*widened(p, z)) for p, z in pairs]
        like, _ = promoted(pairs[0][0], pairs[1][0])
        return result((losses[0] + losses[1]) / 2, like)

    def _neg_cosine_simililarity(self, x: Tensor, y: Tensor) -> Tensor:
        """Under the name that lightly has for it, which subclasses may replace."""
        loss: Tensor = NegativeCosineSimilarity(dim=-1)(x, y.detach())
        return loss


class KoLeoLoss(DeclaredModule):
    """-mean log of the distance to the nearest other row (Sablayrolles et al., ICLR 2019), of unit
    rows; the similarities of 1024 rows at a time.

    Args:
        p: the distance's norm. eps: added to differences, to distances and as least norm of a row.

    forward(x): (N, D) -> scalar in x's dtype.
    """

    p: float = 2
    eps: float = 1e-8

    def forward(self, x: Tensor) -> Tensor:
        (z,) = widened(x)
        z = normalize(z, dim=-1, eps=self.eps)
        distance = pairwise_distance(z, z[_nearest(z.detach())], p=self.p, eps=self.eps)
        return result(-(distance + self.eps).log().mean(), x)


def _nearest(z: Tensor) -> Tensor:
    """The most similar other row of each, (N,)."""
    found = []
    for first in range(0, len(z), _BLOCK):
        similarity = z[first : first + _BLOCK] @ z.T
        similarity.diagonal(first).fill_(-2)
        found.append(similarity.argmax(dim=1))
    return torch.cat(found)


class VICRegLLoss(DeclaredModule):
    """VICRegL (Bardes et al., NeurIPS 2022): VICReg of pooled features, and of the features at
    matched positions, matched by distance and by place.

    Args:
        lambda_param, mu_param, nu_param, eps, gather_distributed: as for VICRegLoss; the covariance
            counts half between matched features, as in the authors' code.
        alpha: weight of the pooled features, 1 - alpha of the matched.
        num_matches: positions kept of the first view and of the second.

    forward(global_view_features, global_view_grids, local_view_features=None,
    local_view_grids=None): features per view (pooled (N, D), positions (N, H, W, C)), grids per
    view (N, H, W, 2) -> (1,). Every global view is compared with all other views.
    """

    lambda_param: float = 25.0
    mu_param: float = 25.0
    nu_param: float = 1.0
    alpha: float = 0.75
    gather_distributed: AmongProcesses = False
    eps: float = 0.0001
    num_matches: tuple[int, int] = (20, 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.vicreg_loss = VICRegLoss(
            self.lambda_param, self.mu_param, 0.5 * self.nu_param, self.gather_distributed, self.eps
        )

    def forward(
        self,
        global_view_features: Features,
        global_view_grids: Sequence[Tensor],
        local_view_features: Features | None = None,
        local_view_grids: Sequence[Tensor] | None = None,
    ) -> Tensor:
        if (local_view_features is None) != (local_view_grids is None):
            missing = "local_view_grids" if local_view_grids is None else "local_view_features"
            raise ValueError(f"{missing}: None; accepted: as many as its counterpart")
        features = [widened(*x) for x in (*global_view_features, *(local_view_features or ()))]
        grids = widened(*global_view_grids, *(local_view_grids or ()))
        count = len(global_view_features)
        if len(global_view_grids) != count or len(grids) != len(features):
            raise ValueError(
                f"grids: {len(global_view_grids)} and {len(local_view_grids or ())} views; "
                f"accepted: {count} and {len(local_view_features or ())} as features"
            )
        pairs = [(a, b) for a in range(count) for b in range(len(features)) if a != b]
        pooled = self._pooled([pool for pool, _ in features], pairs)
        maps = [positions.flatten(1, 2) for _, positions in features]
        places = [grid.flatten(1, 2) for grid in grids]
        matched = [self._matched(maps[a], maps[b], places[a], places[b]) for a, b in pairs]
        local = torch.stack(matched).mean()
        loss = (self.alpha * pooled + (1 - self.alpha) * local).reshape(1)
        return result(loss, global_view_features[0][0])

    def _pooled(self, views: list[Tensor], pairs: list[tuple[int, int]]) -> Tensor:
        invariance = torch.stack([mse_loss(views[a], views[b]) for a, b in pairs]).mean()
        if self.gather_distributed and collectives.world_size() > 1:
            views = [collectives.gather_rows(z) for z in views]
        spread = VICRegLoss(0.0, self.mu_param, 0.5 * self.nu_param, eps=self.eps)
        # Of a view with itself: its own hinge, and twice its own covariance at half the weight.
        penalties = torch.stack([spread(z, z) for z in views]).mean()
        return self.lambda_param * invariance + penalties

    def _matched(self, a: Tensor, b: Tensor, grid_a: Tensor, grid_b: Tensor) -> Tensor:
        near, far = self.num_matches
        losses = []
        for x, y in ((a, b), (grid_a, grid_b)):
            losses.append(self.vicreg_loss(*_matches(a, b, torch.cdist(x, y), near)))
            losses.append(self.vicreg_loss(*_matches(b, a, torch.cdist(y, x), far)))
        return torch.stack(losses).sum() / 2


def _matches(a: Tensor, b: Tensor, distance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` positions of a that are nearest to one of b, and that one: (N, count, C) each.

    a: (N, P, C). b: (N, Q, C). distance: (N, P, Q). count: None, -1 or above P: P."""
    if count is None or count == -1 or count > a.shape[1]:
        count = a.shape[1]
    least, partner = distance.min(dim=2)
    chosen = least.topk(count, dim=1, largest=False).indices

    def take(x: Tensor, index: Tensor) -> Tensor:
        return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))

    return take(a, chosen), take(b, partner.gather(1, chosen))
