"""The published formulas in dense torch, written from the papers: no code of the peers."""

import math
from collections.abc import Callable, Sequence

import torch
from checks import accept_all
from torch import Tensor
from torch.nn.functional import logsigmoid, max_pool1d, normalize

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


def info_nce(a: Tensor, b: Tensor, tau: float) -> Tensor:
    """Of cosines: row i of b is the key of row i of a."""
    logits = normalize(a, dim=1) @ normalize(b, dim=1).T / tau
    return (logits.logsumexp(1) - logits.diagonal()).mean()


def clip(a: Tensor, b: Tensor, scale: float | Tensor) -> Tensor:
    logits = scale * a @ b.T
    return torch.stack([x.logsumexp(1) - x.diagonal() for x in (logits, logits.T)]).mean()


def siglip(a: Tensor, b: Tensor, scale: float | Tensor, bias: float | Tensor) -> Tensor:
    sign = 2 * torch.eye(len(a)).to(a) - 1
    return -logsigmoid(sign * (scale * a @ b.T + bias)).sum() / len(a)


def simclr(z: Tensor, ids: Tensor, tau: float) -> Tensor:
    """-log of the positives' share, summed before the logarithm."""
    u = normalize(z, dim=1)
    logits = (u @ u.T / tau).masked_fill(~not_self(len(u)), -torch.inf)
    positives = logits.masked_fill(ids[:, None] != ids, -torch.inf)
    return (logits.logsumexp(1) - positives.logsumexp(1)).mean()


def vibcreg(a: Tensor, b: Tensor) -> Tensor:
    """Lee and Aune, 2021: hinges summed, the mean square of the columns' correlations."""
    loss = vicreg(a, b, (25, 50, 0))
    for z in (a, b):
        u = normalize(z - z.mean(0), dim=0)
        loss = loss + 200 * ((u.T @ u) * not_self(z.shape[1])).square().mean()
    return loss


def tico(a: Tensor, b: Tensor, memory: float | Tensor = 0.0) -> tuple[Tensor, Tensor]:
    """Zhu et al., 2022, with beta = 0.9 and rho = 8; and the new memory."""
    u, v = normalize(a, dim=1), normalize(b, dim=1)
    c = 0.9 * memory + 0.1 * (u.T @ u).detach() / len(u)
    contrast = torch.einsum("ni,ij,nj->n", u, c, u).mean()
    return 1 - (u * v).sum(1).mean() + 8 * contrast, c


def mmcr(a: Tensor, b: Tensor) -> Tensor:
    """Yerxa et al., NeurIPS 2023."""
    z = torch.cat([a, b], dim=1)
    norms = [torch.linalg.matrix_norm(x, "nuc") for x in z]
    return 5e-3 * torch.stack(norms).mean() - torch.linalg.matrix_norm(z.mean(1), "nuc")


def koleo(x: Tensor) -> Tensor:
    """Sablayrolles et al., ICLR 2019."""
    u = normalize(x, dim=1)
    far = u @ u.T - 3 * torch.eye(len(u))
    distance = (u - u[far.argmax(1)] + 1e-8).square().sum(1).sqrt()
    return -(distance + 1e-8).log().mean()


def swav(high: Sequence[Tensor], low: Sequence[Tensor], iterations: int = 3) -> Tensor:
    """Caron et al., NeurIPS 2020, with temperatures 0.1 and 0.05."""
    crops = [*high, *low]
    terms = [
        cross_entropy(balanced(x.detach() / 0.05, iterations), y / 0.1).mean()
        for i, x in enumerate(high)
        for j, y in enumerate(crops)
        if i != j
    ]
    return torch.stack(terms).mean()


def dino(
    teachers: Sequence[Tensor],
    students: Sequence[Tensor],
    centre: float | Tensor = 0.0,
    tau: float = 0.04,
) -> Tensor:
    """Caron et al., ICCV 2021; the student's temperature is 0.1."""
    targets = [((x - centre) / tau).softmax(1) for x in teachers]
    terms = [
        cross_entropy(t, s / 0.1).mean()
        for i, t in enumerate(targets)
        for j, s in enumerate(students)
        if i != j
    ]
    return torch.stack(terms).mean()


def ibot(
    teacher: Tensor, student: Tensor, counts: Sequence[int], centre: float | Tensor = 0.0
) -> Tensor:
    """Zhou et al., ICLR 2022: of images with so many masked patches."""
    each = cross_entropy(((teacher - centre) / 0.04).softmax(1), student / 0.1)
    return torch.stack([x.sum() / max(len(x), 1) for x in each.split(list(counts))]).mean()


def msn(
    anchors: Tensor,
    targets: Tensor,
    prototypes: Tensor,
    weight: float = 1.0,
    iterations: int = 3,
    batches: int = 1,
) -> Tensor:
    """Assran et al., ECCV 2022; each of `batches` parts of the anchors has its own entropy."""
    a, t, p = (normalize(x, dim=1) for x in (anchors, targets.detach(), prototypes))
    predicted = (a @ p.T / 0.1).softmax(1)
    wanted = (t @ p.detach().T / 0.1).softmax(1) ** 4
    wanted = wanted / wanted.sum(1, keepdim=True)
    if iterations:
        wanted = balanced(wanted.log(), iterations)
    loss = -(wanted.repeat(len(a) // len(t), 1) * predicted.log()).sum(1).mean()
    means = [x.mean(0) for x in predicted.chunk(batches)]
    entropies = [math.log(len(p)) + (mean * mean.log()).sum() for mean in means]
    return loss + weight * torch.stack(entropies).mean()


def _matched(a: Tensor, b: Tensor, x: Tensor, y: Tensor, count: int) -> Tensor:
    """VICReg of the `count` positions of a that are nearest to one of b, by brute force."""
    left, right = [], []
    for n in range(len(a)):
        best = sorted(
            ((x[n, i] - y[n, j]).norm().item(), i, j)
            for i in range(a.shape[1])
            for j in [int((y[n] - x[n, i]).norm(dim=1).argmin())]
        )[:count]
        left.append(torch.stack([a[n, i] for _, i, _ in best]))
        right.append(torch.stack([b[n, j] for _, _, j in best]))
    u, v = torch.stack(left), torch.stack(right)
    positions = [vicreg(u[:, i], v[:, i], (25, 25, 0.5)) for i in range(u.shape[1])]
    return torch.stack(positions).mean()


def vicregl(
    pools: Sequence[Tensor],
    maps: Sequence[Tensor],
    grids: Sequence[Tensor],
    matches: tuple[int, int] = (20, 4),
) -> Tensor:
    """Bardes et al., NeurIPS 2022, with 0.75 of the pooled features; the first two views are the
    global ones."""
    maps, grids = [m.flatten(1, 2) for m in maps], [g.flatten(1, 2) for g in grids]
    pairs = [(a, b) for a in range(2) for b in range(len(pools)) if a != b]
    invariance = torch.stack([(pools[a] - pools[b]).square().mean() for a, b in pairs]).mean()
    spread = torch.stack([vicreg(z, z, (0, 25, 0.5)) for z in pools]).mean()
    local = []
    for a, b in pairs:
        for p, q in ((maps[a], maps[b]), (grids[a], grids[b])):
            local.append(_matched(maps[a], maps[b], p, q, matches[0]))
            local.append(_matched(maps[b], maps[a], q, p, matches[1]))
    total = 0.75 * (25 * invariance + spread)
    return total + 0.25 * torch.stack(local).sum() / 2 / len(pairs)


def ts2vec(a: Tensor, b: Tensor, alpha: float = 0.5, temporal_unit: int = 0) -> Tensor:
    """Yue et al., AAAI 2022."""
    losses = []
    while True:
        level, length = len(losses), a.shape[1]
        loss = alpha * grouped(a.transpose(0, 1), b.transpose(0, 1))
        if length > 1 and level >= temporal_unit:
            loss = loss + (1 - alpha) * grouped(a, b)
        losses.append(loss)
        if length == 1:
            return torch.stack(losses).mean()
        a, b = (max_pool1d(z.transpose(1, 2), 2).transpose(1, 2) for z in (a, b))


def dot_products(a: Tensor, b: Tensor, tau: float) -> Tensor:
    """NT-Xent of rows as they are."""
    z, ids = torch.cat([a, b]), torch.arange(len(a)).repeat(2)
    mean, every, _ = rows(z, z, ids[:, None] == ids, not_self(len(z)), tau)
    return (every - mean).mean()


def grouped(a: Tensor, b: Tensor) -> Tensor:
    """The mean over groups of NT-Xent of dot products within each."""
    return torch.stack([dot_products(x, y, 1.0) for x, y in zip(a, b, strict=True)]).mean()
