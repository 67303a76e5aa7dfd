"""Soft targets of the keys of each query's own: a float64 loop."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from tsssl_fast.functional import contrastive_loss, voco_loss


def given(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {
        "q": torch.randn(5, 3, dtype=torch.float64),
        "k": torch.randn(4, 3, dtype=torch.float64),
        "own": torch.randn(5, 6, 3, dtype=torch.float64),
        "targets": torch.rand(5, 10, dtype=torch.float64) * (torch.rand(5, 10) > 0.6),
    }


@pytest.mark.parametrize("denominator", ["all", "negatives"])
def test_the_loss_is_a_loop(denominator: str) -> None:
    g, tau = given(), 0.3
    valid = torch.rand(5, 6) > 0.2
    found = contrastive_loss(
        *(g["q"], g["k"]),
        query_keys=g["own"],
        query_keys_valid=valid,
        targets=g["targets"],
        denominator=denominator,
        temperature=tau,
        reduction="none",
    )
    for i in range(5):
        u = normalize(g["q"][i], dim=0)
        keys = [*normalize(g["k"]), *normalize(g["own"][i])]
        live = [True] * 4 + valid[i].tolist()
        t = g["targets"][i].tolist()
        a = [float(u @ v) / tau for v in keys]
        below = sum(
            math.exp(a[j]) for j in range(10) if live[j] and (denominator == "all" or not t[j] > 0)
        )
        expected = sum(t[j] * (math.log(below) - a[j]) for j in range(10) if live[j] and t[j] > 0)
        assert found[i].item() == pytest.approx(expected, rel=1e-12)


def test_the_gradient_is_that_of_differences() -> None:
    g = given(1)
    inputs = tuple(g[name].requires_grad_() for name in ("q", "k", "own", "targets"))

    def loss(q, k, own, targets):
        return contrastive_loss(q, k, query_keys=own, targets=targets.abs() + 0.1)

    assert torch.autograd.gradcheck(loss, inputs)


def test_columns_of_the_pairs_alone_are_as_before() -> None:
    g = given()
    narrow = g["targets"][:, :4]
    wide = torch.cat([narrow, torch.zeros(5, 6, dtype=torch.float64)], 1)
    a, b = (
        contrastive_loss(g["q"], g["k"], query_keys=g["own"], targets=t) for t in (narrow, wide)
    )
    assert a.item() == pytest.approx(b.item(), rel=1e-12)


def test_base_crops_with_their_overlaps_as_soft_targets() -> None:
    """Beside `voco_loss`, whose labels these are."""
    g = given()
    overlaps = torch.tensor([[0.0, 0.4, 0.6, 0.0, 0.0, 0.0]]).double().expand(5, 6)
    assert torch.isfinite(voco_loss(g["q"], g["own"], overlaps))
    targets = torch.cat([torch.zeros(5, 5).double(), overlaps], 1)
    alone = torch.zeros(5, 5, dtype=torch.bool)
    found = contrastive_loss(
        g["q"], g["q"], pair_mask=alone, query_keys=g["own"], targets=targets, reduction="none"
    )
    a = (normalize(g["q"])[:, None] * normalize(g["own"], dim=2)).sum(2) / 0.1
    torch.testing.assert_close(found, -(overlaps * a.log_softmax(1)).sum(1), rtol=1e-12, atol=0)


def test_what_does_not_fit_is_named() -> None:
    g = given()
    with pytest.raises(ValueError, match=r"targets: shape \(5, 9\); accepted: \(5, 4\)"):
        contrastive_loss(g["q"], g["k"], query_keys=g["own"], targets=g["targets"][:, :9])
    sparse = g["targets"].to_sparse_csr()
    with pytest.raises(ValueError, match=r"targets: layout torch.sparse_csr; accepted: dense"):
        contrastive_loss(g["q"], g["k"], query_keys=g["own"], targets=sparse)
    with pytest.raises(ValueError, match=r"targets: shape \(5, 10\); accepted: \(5, 4\)"):
        contrastive_loss(g["q"], g["k"], targets=g["targets"])
