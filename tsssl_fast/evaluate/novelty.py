"""How unlike all training series a series is."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tsssl_fast.common import checks


@torch.no_grad()
def novelty_scores(train_z: Tensor, test_z: Tensor, *, k: int = 1, block: int = 1024) -> Tensor:
    """1 - mean cosine to the k most similar training rows: the distance by which CLAN (Contrastive
    Self-Supervised Network Intrusion Detection using Augmented Negative Pairs, 2025) tells other
    series from normal ones.

    Args:
        train_z: (N, F) features of normal series. test_z: (M, F).
        k: 1 to N. block: rows whose similarities are held at a time: block x N floats.

    Returns:
        (M,) in [0, 2], larger is more unlike; float32.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("train_z", train_z)
    checks.matrix("test_z", test_z)
    if test_z.shape[1] != train_z.shape[1]:
        raise ValueError(f"test_z: {test_z.shape[1]} columns; accepted: {train_z.shape[1]}")
    if not 1 <= k <= len(train_z):
        raise ValueError(f"k: {k}; accepted: 1 to the {len(train_z)} rows of train_z")
    gallery = normalize(train_z.float()).T
    near = [(normalize(q.float()) @ gallery).topk(k, 1).values.mean(1) for q in test_z.split(block)]
    return 1 - torch.cat(near)


def auroc(scores: Tensor, novel: Tensor) -> float:
    """Area under the ROC curve: the probability that a novel series has the larger score than one
    that is not, ties as half.

    Args:
        scores: (M,) floating. novel: (M,) bool, with both kinds.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    from sklearn.metrics import roc_auc_score

    checks.floating("scores", scores)
    if novel.dtype != torch.bool or novel.shape != scores.shape or scores.dim() != 1:
        raise ValueError(
            f"novel: {novel.dtype} {tuple(novel.shape)}; accepted: bool {tuple(scores.shape)}"
        )
    if novel.all() or not novel.any():
        raise ValueError("novel: one kind alone; accepted: both True and False")
    return float(roc_auc_score(novel.cpu().numpy(), scores.double().cpu().numpy()))
