"""Distances and similarities. The engine computes cosines and dot products without a matrix; the
losses call every other, the library's own among them, for the matrix of all pairs, in plain torch.

A call takes query_emb (M, D) and ref_emb (P, D), floating; None: query_emb itself. It gives (M, P)
in their dtype, to the power `power`. `collect_stats=True` is a NotImplementedError.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsssl_fast.compat._shared import refuse, refusing

__all__ = ["CosineSimilarity", "DotProductSimilarity", "LpDistance"]


def refuse_statistics(collect_stats: bool | None) -> None:
    if collect_stats:
        refuse("collect_stats=True", "functional.contrastive_loss has return_stats")


class _Distance(nn.Module):
    """forward(query_emb, ref_emb=None): (M, D), (P, D) -> (M, P), to the power `power`."""

    is_inverted = False

    def __init__(
        self,
        normalize_embeddings: bool = True,
        p: float = 2,
        power: float = 1,
        collect_stats: bool | None = None,
    ) -> None:
        super().__init__()
        refuse_statistics(collect_stats)
        self.normalize_embeddings = normalize_embeddings
        self.p = p
        self.power = power

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        """(M, D), (P, D) -> (M, P), to the power `power`."""
        ref_emb = query_emb if ref_emb is None else ref_emb
        if self.normalize_embeddings:
            query_emb = F.normalize(query_emb, p=self.p, dim=1)
            ref_emb = F.normalize(ref_emb, p=self.p, dim=1)
        matrix = self.compute_mat(query_emb, ref_emb)
        return matrix if self.power == 1 else matrix**self.power

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """(M, D), (P, D) -> (M, P): of rows as they are."""
        raise NotImplementedError


class DotProductSimilarity(_Distance):
    """Dot products, of unit rows unless `normalize_embeddings` is False."""

    is_inverted = True

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return query_emb @ ref_emb.T


class CosineSimilarity(DotProductSimilarity):
    """Cosines."""

    def __init__(self, p: float = 2, power: float = 1, collect_stats: bool | None = None) -> None:
        super().__init__(True, p, power, collect_stats)


class LpDistance(_Distance):
    """The p-norm of differences, of unit rows unless `normalize_embeddings` is False."""

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return torch.cdist(query_emb, ref_emb, p=self.p)


def in_engine(distance: Any) -> bool:
    """Whether it is a cosine or a dot product as they are; the library's own class will do."""
    similar = type(distance).__name__ in ("CosineSimilarity", "DotProductSimilarity")
    return similar and distance.p == 2 and distance.power == 1


_NOT_HERE = ("BaseDistance", "BatchedDistance", "SNRDistance")

__getattr__ = refusing(__name__, dict.fromkeys(_NOT_HERE, "the losses take the library's own"))
