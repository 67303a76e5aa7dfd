"""Retrieval by cosine: how soon a series of the same class turns up."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tsssl_fast.common import checks


@dataclass(frozen=True)
class Retrieval:
    """recall: k -> share of queries with a gallery row of their class among the k nearest;
    mrr: mean over the queries of 1 / rank of the first such row, 0 where there is none.
    """

    recall: dict[int, float]
    mrr: float


@torch.no_grad()
def group_retrieval(
    query_z: Tensor,
    query_y: Tensor,
    gallery_z: Tensor,
    gallery_group: Tensor,
    group_y: Tensor,
    *,
    nearest: int = 1,
    ks: Sequence[int] = (1, 5, 10),
) -> Retrieval:
    """Ranks groups, such as the snippets of a piece, by their rows: a group is as near to a query
    as the mean cosine of its `nearest` rows that are most similar (of all, where it has fewer).

    Used for pieces of music by Self-Supervised Contrastive Learning for Robust Audio-Sheet Music
    Retrieval Systems, 2023, and for styles by Semi-Supervised Contrastive Learning for Controllable
    Video-to-Music Retrieval, 2024.

    Args:
        query_z, gallery_z: (M, F), (N, F). query_y: (M,) integer labels.
        gallery_group: (N,) integers, 0 to G - 1, each at least once. group_y: (G,) labels.
        nearest: rows of a group that count, >= 1. ks: numbers of groups, each at least 1.

    Returns:
        A Retrieval, as of :func:`retrieval` with groups in the place of gallery rows. Equal groups
        keep their order.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    for name, z in (("query_z", query_z), ("gallery_z", gallery_z)):
        checks.matrix(name, z)
    checks.at_least("nearest", nearest, 1)
    groups = len(group_y)
    counts = gallery_group.bincount(minlength=groups)
    if gallery_group.shape != gallery_z.shape[:1] or len(counts) != groups or not counts.all():
        raise ValueError(
            f"gallery_group: {tuple(gallery_group.shape)} in 0 to {int(gallery_group.max())}; "
            f"accepted: ({len(gallery_z)},), every group 0 to {groups - 1}"
        )
    similarity = normalize(query_z.float()) @ normalize(gallery_z.float()).T
    scores = torch.stack(
        [
            similarity[:, gallery_group == g].topk(min(nearest, int(counts[g])), dim=1)[0].mean(1)
            for g in range(groups)
        ],
        dim=1,
    )
    order = scores.argsort(dim=1, descending=True, stable=True)
    return _of_ranks(_first(group_y[order] == query_y[:, None]), ks)


def _first(hits: Tensor) -> Tensor:
    """hits: (M, N) bool, whether the n-th of a query's ranking is of its class -> (M,) int64, the
    place of the first such, from 1; 0 where there is none."""
    return torch.where(hits.any(1), hits.int().argmax(1) + 1, 0)


def _of_ranks(rank: Tensor, ks: Sequence[int]) -> Retrieval:
    for k in ks:
        if k < 1:
            raise ValueError(f"ks: {k}; accepted: 1 or more")
    found = rank > 0
    recall = {k: (found & (rank <= k)).double().mean().item() for k in ks}
    return Retrieval(recall, torch.where(found, 1 / rank.clamp(min=1).double(), 0.0).mean().item())


def retrieval(
    query_z: Tensor,
    query_y: Tensor,
    gallery_z: Tensor | None = None,
    gallery_y: Tensor | None = None,
    *,
    ks: Sequence[int] = (1, 5, 10),
    block: int = 1024,
) -> Retrieval:
    """Ranks the gallery by cosine to each query; without a gallery, the other queries.

    Args:
        query_z, gallery_z: (M, F), (N, F); query_y, gallery_y: (M,), (N,) integer labels.
        ks: numbers of neighbours, each at least 1.
        block: queries whose similarities are held at a time: block x N floats.

    Equal similarities keep the gallery's order. Raises TypeError, ValueError for features or labels
    of another kind or shape, or a k below 1.
    """
    own = gallery_z is None
    gallery_z = query_z if gallery_z is None else gallery_z
    gallery_y = query_y if gallery_y is None else gallery_y
    for name, z, y in (("query", query_z, query_y), ("gallery", gallery_z, gallery_y)):
        checks.matrix(f"{name}_z", z)
        if y.shape != z.shape[:1] or y.is_floating_point():
            raise ValueError(
                f"{name}_y: {y.dtype} {tuple(y.shape)}; accepted: integers ({len(z)},)"
            )
    gallery = normalize(gallery_z.float())
    ranked = []
    for rows in torch.arange(len(query_z)).split(block):
        similarity = normalize(query_z[rows].float()) @ gallery.T
        if own:
            similarity[torch.arange(len(rows)), rows] = -torch.inf
        hit = gallery_y == query_y[rows, None]
        if own:
            hit[torch.arange(len(rows)), rows] = False
        order = similarity.argsort(dim=1, descending=True, stable=True)
        ranked.append(_first(hit.gather(1, order)))
    return _of_ranks(torch.cat(ranked), ks)
