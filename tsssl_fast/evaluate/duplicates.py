"""Series that are there twice, and what a recording is by what its snippets are."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tsssl_fast.common import checks


@torch.no_grad()
def near_duplicates(z: Tensor, *, threshold: float = 0.99, block: int = 1024) -> Tensor:
    """Which row each row repeats, in order: the first kept row with a cosine above the threshold,
    else itself (Less is More: Selective Reduction of CT Data for Self-Supervised Pre-Training of
    Deep Learning Models with Contrastive Learning Improves Downstream Classification Performance,
    2024, thins its data by such embeddings).

    Args:
        z: (N, F) embeddings that what should not count does not change.
        threshold: in (-1, 1). block: rows whose similarities are held: block x N floats.

    Returns:
        (N,) int64 `first`; the rows with first[i] == i remain: `x[first == torch.arange(N)]`.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("z", z)
    if not -1 < threshold < 1:
        raise ValueError(f"threshold: {threshold}; accepted: a number in (-1, 1)")
    u = normalize(z.float())
    first = torch.arange(len(u))
    for rows in torch.arange(len(u)).split(block):
        alike = (u[rows] @ u[: int(rows[-1]) + 1].T > threshold).cpu()
        # Only rows with an earlier one alike can be duplicates; the others need no loop.
        earlier = alike & (torch.arange(alike.shape[1]) < rows[:, None])
        for place in earlier.any(1).nonzero()[:, 0].tolist():
            before = earlier[place].nonzero()[:, 0]
            kept = before[first[before] == before]
            if len(kept):
                first[rows[place]] = kept[0]
    return first.to(z.device)


@dataclass(frozen=True)
class Identification:
    """queries: (Q,) int64, the recordings asked for, ascending; pieces: (Q,) int64, what most of
    their snippets are nearest to; votes: (Q,) float32, the share of these."""

    queries: Tensor
    pieces: Tensor
    votes: Tensor


@torch.no_grad()
def identify_by_votes(
    query_z: Tensor, query_recording: Tensor, gallery_z: Tensor, gallery_piece: Tensor
) -> Identification:
    """What each recording is: every snippet votes for the piece of its nearest gallery row by
    cosine (Self-Supervised Contrastive Learning for Robust Audio-Sheet Music Retrieval Systems,
    2023). Of equally many votes the smaller number wins.

    Args:
        query_z: (M, F) snippets; query_recording: (M,) integers, the recording of each.
        gallery_z: (N, F); gallery_piece: (N,) integers >= 0.

    Returns:
        An Identification.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("query_z", query_z)
    checks.matrix("gallery_z", gallery_z)
    if gallery_z.shape[1] != query_z.shape[1]:
        raise ValueError(f"gallery_z: {gallery_z.shape[1]} columns; accepted: {query_z.shape[1]}")
    for name, y, z in (
        ("query_recording", query_recording, query_z),
        ("gallery_piece", gallery_piece, gallery_z),
    ):
        if y.shape != z.shape[:1] or y.is_floating_point():
            raise ValueError(f"{name}: {y.dtype} {tuple(y.shape)}; accepted: integers ({len(z)},)")
    gallery = normalize(gallery_z.float()).T
    nearest = [(normalize(q.float()) @ gallery).argmax(1) for q in query_z.split(1024)]
    voted = gallery_piece[torch.cat(nearest)]
    queries = query_recording.unique()
    pieces, votes = [], []
    for recording in queries:
        counts = voted[query_recording == recording].bincount()
        pieces.append(counts.argmax())
        votes.append(counts.max() / counts.sum())
    return Identification(queries, torch.stack(pieces), torch.stack(votes))
