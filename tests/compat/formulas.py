"""The published formulas in dense torch, written from the papers: no code of the peers."""

from collections.abc import Callable, Sequence

import torch
from checks import accept_all
from torch import Tensor
from torch.nn.functional import normalize

Loss = Callable[..., Tensor]


def drawn(*shapes: tuple[int, ...], draws: int = 3, scale: float = 1.0) -> list[list[Tensor]]:
    """float32 inputs; the second and later are near the first where the shapes agree."""
    out = []
    for seed in range(draws):
        generator = torch.Generator().manual_seed(seed)
        inputs: list[Tensor] = []
        for shape in shapes:
            x = torch.randn(shape, generator=generator) * scale
            near = inputs and inputs[0].shape == x.shape
            inputs.append(inputs[0] + 0.7 * x if near else x)
        out.append(inputs)
    return out


def agree(ours: Loss, formula: Loss, inputs: Sequence[Sequence[Tensor]]) -> None:
    """Value and gradients by the float32 rule; float64 to rounding."""
    accept_all(ours, formula, [(x, None) for x in inputs], factor=2.0)
    for x in inputs[:1]:
        wide = [z.double() for z in x]
        torch.testing.assert_close(ours(*wide), formula(*wide), rtol=1e-10, atol=1e-12)


def rows(
    q: Tensor, k: Tensor, positive: Tensor, live: Tensor, tau: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Per row: mean logit of the positives, log-sum of all live pairs, log-sum of the negatives."""
    a = q @ k.T / tau
    weight = (positive & live).to(a.dtype)
    mean = (a * weight).sum(1) / weight.sum(1).clamp_min(1)
    every = a.masked_fill(~live, -torch.inf).logsumexp(1)
    negative = a.masked_fill(~live | positive, -torch.inf).logsumexp(1)
    return mean, every, negative


def not_self(count: int) -> Tensor:
    return ~torch.eye(count, dtype=torch.bool)


def nt_xent(a: Tensor, b: Tensor, tau: float) -> Tensor:
    u, ids = normalize(torch.cat([a, b]), dim=1), torch.arange(len(a)).repeat(2)
    mean, every, _ = rows(u, u, ids[:, None] == ids, not_self(len(u)), tau)
    return (every - mean).mean()


def against_bank(a: Tensor, b: Tensor, bank: Tensor, tau: float) -> Tensor:
    """InfoNCE of a row against its own key and the bank."""
    u, v = normalize(a, dim=1), normalize(b, dim=1)
    positive = (u * v).sum(1, keepdim=True)
    logits = torch.cat([positive, u @ bank.to(u.dtype).T], dim=1) / tau
    return (logits.logsumexp(1) - logits[:, 0]).mean()


def dcl(a: Tensor, b: Tensor, tau: float, weight: Loss | None = None) -> Tensor:
    ids = torch.arange(len(a)).repeat(2)
    u, v = normalize(a, dim=1), normalize(b, dim=1)
    z = torch.cat([u, v])
    mean, _, negative = rows(z, z, ids[:, None] == ids, not_self(len(z)), tau)
    w = 1.0 if weight is None else torch.cat([weight(u, v), weight(v, u)])
    return (negative - w * mean).mean()


def mises_fisher(u: Tensor, v: Tensor, sigma: float) -> Tensor:
    return 2 - len(u) * ((u * v).sum(1).detach() / sigma).softmax(0)


def sup_con(z: Tensor, labels: Tensor, tau: float) -> Tensor:
    """Rows without a positive are left out of the mean."""
    same, apart = labels[:, None] == labels, not_self(len(z))
    mean, every, _ = rows(z, z, same, apart, tau)
    return (every - mean)[(same & apart).any(1)].mean()


def vicreg(
    a: Tensor, b: Tensor, weights: tuple[float, float, float] = (25, 25, 1), eps: float = 1e-4
) -> Tensor:
    """Bardes et al., ICLR 2022: mean squared difference; half the hinges; the covariances."""

    def hinge(z: Tensor) -> Tensor:
        return (1 - (z.var(0) + eps).sqrt()).clamp_min(0).mean() / 2

    def covariance(z: Tensor) -> Tensor:
        c = torch.cov(z.T)
        return c[not_self(len(c))].square().sum() / len(c)

    return (
        weights[0] * (a - b).square().mean()
        + weights[1] * (hinge(a) + hinge(b))
        + weights[2] * (covariance(a) + covariance(b))
    )


def barlow_twins(a: Tensor, b: Tensor, lambd: float) -> Tensor:
    def standard(z: Tensor) -> Tensor:
        return (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt()

    c = standard(a).T @ standard(b) / len(a)
    diagonal = c.diagonal()
    return (1 - diagonal).square().sum() + lambd * c[not_self(len(c))].square().sum()


def balanced(scores: Tensor, iterations: int) -> Tensor:
    """Columns, then rows of exp(scores) scaled to equal sums (Cuturi, 2013)."""
    p = scores.exp()
    if not iterations:
        return len(p) * p / p.sum()
    for _ in range(iterations):
        p = p / p.sum(0)
        p = p / p.sum(1, keepdim=True)
    return p


def cross_entropy(targets: Tensor, logits: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(-1)).sum(-1)
