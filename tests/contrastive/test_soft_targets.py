"""Soft targets where a student has nearly become its teacher: the loss keeps its digits."""

import pytest
import torch
from checks import accept, value_and_gradients
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.ops.contrastive import spec

TAU = 0.05
# Of each row's loss, 5e-8 to 2e-5: some roundings of logits of 1 / tau.
RELATIVE = 16 / TAU * torch.finfo(torch.float32).eps


def student(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, nearly those of their teacher, and the teacher's probabilities: rows of entropy
    1e-6 to 1e-3."""
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(24, 96, generator=generator, dtype=torch.float64)
    q, k = (teacher + 1e-3 * torch.randn(24, 96, generator=generator) for _ in range(2))
    u = torch.nn.functional.normalize(teacher, dim=1)
    return q.float(), k.float(), (u @ u.T / 0.05).softmax(1).float()


def definition(q: Tensor, k: Tensor, targets: Tensor, symmetric: bool) -> Tensor:
    u, v = torch.nn.functional.normalize(q, dim=1), torch.nn.functional.normalize(k, dim=1)
    a, t = u @ v.T / TAU, targets.to(q.dtype)
    sides = [(a, t), (a.T, t.T)] if symmetric else [(a, t)]
    return torch.cat([-(t * a.log_softmax(1)).sum(1) for a, t in sides])


@pytest.mark.parametrize("layout", ["dense", "csr", "own", "symmetric"])
def test_near_convergence(kernel: str, layout: str) -> None:
    """Losses row by row; all by the rule of spec.py, too."""
    results = []
    for seed in range(4):
        q, k, targets = student(seed)
        if layout == "own":
            targets = torch.eye(len(q))
        given = targets.to_sparse_csr() if layout == "csr" else targets
        symmetric = layout == "symmetric"
        options = {"temperature": TAU, "symmetric": symmetric, "backend": kernel}

        def loss(q: Tensor, k: Tensor, given: Tensor = given, options: dict = options) -> Tensor:
            return functional.contrastive_loss(q, k, targets=given, reduction="none", **options)

        def formula(
            q: Tensor, k: Tensor, targets: Tensor = targets, symmetric: bool = symmetric
        ) -> Tensor:
            return definition(q, k, targets, symmetric)

        found = value_and_gradients(loss, (q, k))
        truth = value_and_gradients(formula, (q.double(), k.double()))
        assert truth[0].min() < 1e-5
        torch.testing.assert_close(found[0].double(), truth[0], rtol=RELATIVE, atol=0)
        results.append(list(zip(found, truth, value_and_gradients(formula, (q, k)), strict=True)))
    for i, name in enumerate(("loss", "gradient of q", "gradient of k")):
        accept(name, [draw[i] for draw in results], spec.ERROR_FACTOR)
