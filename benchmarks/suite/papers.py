"""The losses of single papers beside the shortest plain torch form of their formula."""

from collections.abc import Callable

import torch
from registry import Case, Inputs
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

from suite.common import Loss, in_double, of_loss, pairs_bytes
from tsssl_fast import functional
from tsssl_fast.ops.contrastive import spec

TAU = 0.1


def collossl(a: Tensor, p: Tensor, n: Tensor) -> Tensor:
    a = normalize(a)
    positive = ((normalize(p, dim=2) * a).sum(2) / TAU).exp().sum(0)
    negative = ((normalize(n, dim=2) * a).sum(2) / TAU).exp().sum(0)
    return -(positive / (positive + negative)).log().mean()


def similarity_aggregate(z: Tensor, h: Tensor) -> Tensor:
    u = normalize(z)
    return ((u @ u.T / TAU).fill_diagonal_(-torch.inf).softmax(1) @ h).sum()


def clan(z: Tensor, z_aug: Tensor) -> Tensor:
    u, v = normalize(z), normalize(z_aug)
    negative = (u @ v.T / TAU).logsumexp(1, keepdim=True)
    each = softplus(negative - u @ u.T / TAU)
    return (each.sum(1) - each.diagonal()).mean() / (len(z) - 1)


def nnclr(z2: Tensor, z1: Tensor, queue: Tensor) -> Tensor:
    u, v, keys = normalize(z1), normalize(z2), normalize(queue)
    nearest = keys[(u @ keys.T).argmax(1)]
    return cross_entropy(nearest @ v.T / TAU, torch.arange(len(z1)))


def scgc(z: Tensor, influence: Tensor) -> Tensor:
    u = normalize(z)
    e = (u @ u.T / 0.5).exp()
    return -((influence * e).sum(1) / e.sum(1)).log().mean()


def groco(z: Tensor) -> Tensor:
    """Top-k from the matrix itself, then the same network: odd-even with Cauchy steps."""
    u = normalize(z, dim=2).flatten(0, 1)
    n = z.shape[1]
    s = u @ u.T
    other = torch.arange(2 * n).roll(n)
    positive = s.gather(1, other[:, None])
    rows = torch.arange(2 * n)
    hidden = rows[:, None] % n == rows % n
    x = torch.cat([positive, s.masked_fill(hidden, -torch.inf).topk(10).values], 1)
    size = x.shape[1]
    mass = torch.eye(size, dtype=x.dtype).expand(len(x), size, size)
    for layer in range(size):
        i = torch.arange(layer % 2, size - 1, 2)
        f = 0.5 + torch.arctan(10 * (x[:, i] - x[:, i + 1])) / torch.pi
        a, b = x[:, i], x[:, i + 1]
        x = x.index_copy(1, i, f * a + (1 - f) * b).index_copy(1, i + 1, f * b + (1 - f) * a)
        f, a, b = f[..., None], mass[:, i], mass[:, i + 1]
        mass = mass.index_copy(1, i, f * a + (1 - f) * b)
        mass = mass.index_copy(1, i + 1, f * b + (1 - f) * a)
    m = mass[:, :, 0].clamp(1e-7, 1 - 1e-7)
    return -torch.cat([m[:, :1].log(), (1 - m[:, 1:]).log()], 1).mean()


def make(
    name: str, ours: Loss, plain: Loss, draw: Callable[[], Inputs], fixed: Callable[[], Inputs]
) -> Case:
    """fixed: inputs after the drawn ones that get no gradient."""
    held: list[Inputs] = []

    def with_fixed(loss: Loss) -> Loss:
        def call(*leaves: Tensor) -> Tensor:
            if not held:
                held.append(fixed())
            return loss(*leaves, *(x.to(leaves[0].dtype) for x in held[0]))

        return call

    return Case(
        family="contrastive",
        operator=name,
        shape=(ROWS, COLUMNS),
        inputs=draw,
        truth=in_double(with_fixed(plain)),
        providers=of_loss(with_fixed(ours), with_fixed(plain)),
        baseline="eager",
        factor=spec.ERROR_FACTOR,
        flops=2.0 * ROWS**2 * COLUMNS,
        needs=pairs_bytes(4 * ROWS**2),
    )


def normal(*shapes: tuple[int, ...], seed: int = 0) -> Callable[[], Inputs]:
    def draw() -> Inputs:
        generator = torch.Generator().manual_seed(seed)
        return tuple(torch.randn(shape, generator=generator) for shape in shapes)

    return draw


def uniform(*shape: int) -> Callable[[], Inputs]:
    return lambda: (torch.rand(shape, generator=torch.Generator().manual_seed(1)),)


def nothing() -> Inputs:
    return ()


ROWS, COLUMNS = 1024, 128
ONE, TWO = (ROWS, COLUMNS), (2, ROWS, COLUMNS)
CASES = [
    make("collossl", functional.collossl_loss, collossl, normal(ONE, TWO, TWO), nothing),
    make(
        "similarity_aggregate",
        lambda z, h: functional.similarity_aggregate(z, h).sum(),
        similarity_aggregate,
        normal(ONE, ONE),
        nothing,
    ),
    make("clan", functional.clan_loss, clan, normal(ONE, ONE), nothing),
    make(
        "nnclr",
        lambda b, a, q: functional.nnclr_loss(a, b, q, symmetric=False),
        nnclr,
        normal(ONE),
        normal(ONE, (4 * ROWS, COLUMNS), seed=1),
    ),
    make("scgc", functional.scgc_loss, scgc, normal(ONE), uniform(ROWS, ROWS)),
    make("groco", functional.groco_loss, groco, normal(TWO), nothing),
]
