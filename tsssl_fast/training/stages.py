"""Training in stages, and batches by pseudo-labels."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tsssl_fast.common import checks
from tsssl_fast.functional import clustering
from tsssl_fast.methods.base import Views, out_features
from tsssl_fast.methods.within_clusters import WithinClusters
from tsssl_fast.training.loop import fit, fold
from tsssl_fast.training.settings import Settings


class Stages(nn.Module):
    """(N, C, T) -> (N, sum of F): the features of several encoders side by side, in their dtype."""

    def __init__(self, encoders: list[nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.out_features = sum(out_features(encoder) for encoder in encoders)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([encoder(x) for encoder in self.encoders], dim=1)


def fit_stages(
    build: Callable[[int], nn.Module],
    views: Views,
    x: Tensor,
    settings: Settings,
    *,
    stages: int = 2,
    clusters: int = 8,
    temperature: float = 0.2,
) -> Stages:
    """Contrast in stages (Learning the Unlearned: Mitigating Feature Suppression in Contrastive
    Learning, 2024, MCL): each encoder tells apart what the one before it puts into one cluster.

    Args:
        build: stage -> an encoder with `out_features`.
        views: as of `methods.SimCLR`. x: (N, C, T), scaled.
        settings: of every stage; its seed is another in each.
        stages: >= 1; the first is SimCLR. clusters: of k-means on the unit features of the stage
            before.

    Returns:
        The encoders of all stages, side by side, in evaluation mode.

    Raises TypeError, ValueError naming the argument.
    """
    checks.at_least("stages", stages, 1)
    found: list[nn.Module] = []
    groups = torch.zeros(len(x), dtype=torch.int64)
    for stage in range(stages):
        with torch.random.fork_rng():
            torch.manual_seed(fold(settings.seed, stage))
            encoder = build(stage)
            method = WithinClusters.recipe(encoder, views, groups, temperature)
        fit(method, x, replace(settings, seed=fold(settings.seed, stage, 1)))
        encoder.eval()
        found.append(encoder.cpu())
        with torch.inference_mode():
            z = normalize(torch.cat([encoder(part).float() for part in x.split(512)]), dim=1)
        centres = clustering.kmeans(z.clone(), clusters, spherical=True, seed=settings.seed)
        groups = clustering.assign(z.clone(), centres, spherical=True)
    return Stages(found)


@dataclass(frozen=True)
class DistinctBatches:
    """batches: (B,) int64 rows each, no label twice in one; dropped: rows in none."""

    batches: list[Tensor]
    dropped: int


def distinct_batches(
    labels: Tensor, batch_size: int, *, least: int = 8, seed: int = 0
) -> DistinctBatches:
    """Batches without two rows of one pseudo-label (G-SimCLR: Self-Supervised Contrastive Learning
    with Guided Projection via Pseudo Labelling, 2020): each takes one row of the min(batch_size,
    labels left) labels that have most rows left.

    Args:
        labels: (N,) integers, as of `clustering.assign`.
        batch_size: >= 1. least: a batch of fewer rows is dropped, with all that follow it.
        seed: of the order of rows, and of batches.

    Raises TypeError, ValueError naming the argument.
    """
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels: {type(labels).__name__}; accepted: torch.Tensor")
    if labels.dim() != 1 or labels.is_floating_point():
        raise ValueError(f"labels: {labels.dtype} {tuple(labels.shape)}; accepted: integers (N,)")
    checks.at_least("batch_size", batch_size, 1)
    checks.at_least("least", least, 1)
    source = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=source)
    left = [order[labels[order] == label].tolist() for label in labels.unique()]
    batches = []
    while True:
        left = sorted((rows for rows in left if rows), key=len, reverse=True)
        taken = left[:batch_size]
        if len(taken) < least:
            break
        batches.append(torch.tensor([rows.pop() for rows in taken]))
    shuffled = [batches[i] for i in torch.randperm(len(batches), generator=source).tolist()]
    return DistinctBatches(shuffled, len(labels) - sum(map(len, batches)))
