"""Novelty of embeddings, and the area under its ROC curve."""

import math

import pytest
import torch

from tsssl_fast import evaluate


def test_scores_and_area_are_loops() -> None:
    torch.manual_seed(0)
    train, test = torch.randn(9, 3), torch.randn(6, 3)

    def cosine(a, b):
        dot = sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))
        return dot / math.hypot(*a.tolist()) / math.hypot(*b.tolist())

    scores = evaluate.novelty_scores(train, test, k=2, block=4)
    for i in range(6):
        near = sorted((cosine(test[i], t) for t in train), reverse=True)[:2]
        assert scores[i].item() == pytest.approx(1 - sum(near) / 2, abs=1e-6)
    novel = torch.tensor([True, False, True, False, False, True])
    scores[1] = scores[0]
    pairs = [(a, b) for a in scores[novel].tolist() for b in scores[~novel].tolist()]
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs)
    assert evaluate.auroc(scores, novel) == pytest.approx(wins / len(pairs))


def test_another_direction_is_novel() -> None:
    torch.manual_seed(0)
    normal = torch.tensor([1.0, 0, 0]) + 0.1 * torch.randn(80, 3)
    other = torch.tensor([0.0, 1, 0]) + 0.1 * torch.randn(20, 3)
    scores = evaluate.novelty_scores(normal[:40], torch.cat([normal[40:], other]))
    assert evaluate.auroc(scores, torch.arange(60) >= 40) == 1.0


def test_errors() -> None:
    z = torch.randn(4, 3)
    with pytest.raises(ValueError, match="k: 5; accepted: 1 to the 4"):
        evaluate.novelty_scores(z, z, k=5)
    with pytest.raises(ValueError, match="test_z: 2 columns"):
        evaluate.novelty_scores(z, z[:, :2])
    with pytest.raises(ValueError, match="novel: one kind alone"):
        evaluate.auroc(z[:, 0], torch.ones(4) > 0)
    with pytest.raises(ValueError, match=r"novel: torch.int64"):
        evaluate.auroc(z[:, 0], torch.arange(4))
