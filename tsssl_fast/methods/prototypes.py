"""What the methods of prototypes share: scores of embeddings, and short crops beside the views."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tsssl_fast.augment import CropResize
from tsssl_fast.common import checks
from tsssl_fast.methods.base import Batch, Views, lengths_of, one_view, stacked_views


class Prototypes(nn.Module):
    """Cosines with K learnt directions: (N, D) -> (N, K) in [-1, 1].

    Args:
        dim: D. clusters: K >= 2.
    """

    def __init__(self, dim: int, clusters: int) -> None:
        super().__init__()
        checks.at_least("clusters", clusters, 2)
        self.weight = nn.Parameter(torch.randn(clusters, dim))

    def forward(self, z: Tensor) -> Tensor:
        return normalize(z, dim=1) @ normalize(self.weight, dim=1).T


class MultiCrop:
    """Two views of each series, and `count` views of short pieces of it.

    Args:
        count: >= 0.
        length: of a piece, a share of the series or a range of it; it is stretched to T steps.
    """

    def __init__(self, count: int, length: float | tuple[float, float] = (0.2, 0.5)) -> None:
        checks.at_least("crops", count, 0)
        self.n_views, self.cut = 2 + count, CropResize(length)

    def __call__(self, views: Views, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """(V N, C, T), the two views first, and the lengths (V N,); V = 2 + count."""
        found = [stacked_views(views, batch)]
        source = torch.Generator().manual_seed(batch.seed)
        for _ in range(self.n_views - 2):
            of_crop, of_view = torch.randint(1 << 62, (2,), generator=source).tolist()
            x = self.cut(batch.x, seed=of_crop, sample_ids=batch.sample_ids, **lengths_of(batch))
            found.append(one_view(views, batch._replace(x=x, seed=of_view)))
        lengths = None if batch.lengths is None else batch.lengths.repeat(self.n_views)
        return torch.cat(found), lengths


def used(assignments: Tensor) -> Tensor:
    """Prototypes in use, detached: exp of the entropy of the mean of (W, N, K), 1 to K."""
    mean = assignments.detach().flatten(0, 1).mean(0)
    count: Tensor = torch.special.entr(mean).sum().exp()
    return count
