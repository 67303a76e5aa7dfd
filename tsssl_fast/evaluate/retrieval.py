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
    for k in ks:
        if k < 1:
            raise ValueError(f"ks: {k}; accepted: 1 or more")
    gallery = normalize(gallery_z.float())
    first = []
    for rows in torch.arange(len(query_z)).split(block):
        similarity = normalize(query_z[rows].float()) @ gallery.T
        if own:
            similarity[torch.arange(len(rows)), rows] = -torch.inf
        hit = gallery_y == query_y[rows, None]
        if own:
            hit[torch.arange(len(rows)), rows] = False
        order = similarity.argsort(dim=1, descending=True, stable=True)
        ranked = hit.gather(1, order)
        first.append(torch.where(ranked.any(1), ranked.int().argmax(1) + 1, 0))
    rank = torch.cat(first)
    found = rank > 0
    recall = {k: (found & (rank <= k)).double().mean().item() for k in ks}
    return Retrieval(recall, torch.where(found, 1 / rank.clamp(min=1).double(), 0.0).mean().item())
