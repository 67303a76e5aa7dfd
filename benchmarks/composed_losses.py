"""The losses of single papers beside the shortest plain torch form of their formula.

    python benchmarks/composed_losses.py --rows 1024 --columns 128 --rounds 15

Forward and backward in float32, milliseconds, the median of rounds in which both take turns.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

from tsssl_fast import functional

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


def nnclr(z1: Tensor, z2: Tensor, queue: Tensor) -> Tensor:
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
    mass = torch.eye(size).expand(len(x), size, size)
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


def cases(n: int, d: int) -> dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list]]:
    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, requires_grad=True)

    return {
        "collossl": (
            functional.collossl_loss,
            collossl,
            [leaf(n, d), leaf(2, n, d), leaf(2, n, d)],
        ),
        "similarity_aggregate": (
            lambda z, h: functional.similarity_aggregate(z, h).sum(),
            similarity_aggregate,
            [leaf(n, d), leaf(n, d)],
        ),
        "clan": (functional.clan_loss, clan, [leaf(n, d), leaf(n, d)]),
        "nnclr": (
            lambda a, b, q: functional.nnclr_loss(a, b, q, symmetric=False),
            nnclr,
            [leaf(n, d), leaf(n, d), torch.randn(4 * n, d)],
        ),
        "scgc": (functional.scgc_loss, scgc, [leaf(n, d), torch.rand(n, n)]),
        "groco": (functional.groco_loss, groco, [leaf(2, n, d)]),
    }


def seconds(function: Callable[..., Tensor], inputs: list) -> float:
    for x in inputs:
        x.grad = None
    start = time.perf_counter()
    function(*inputs).backward()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rows", 1024), ("columns", 128), ("rounds", 15)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.manual_seed(0)
    print(f"{'loss':22}{'ours ms':>10}{'plain ms':>10}{'x':>7}{'value':>12}{'plain':>12}")
    for name, (ours, plain, inputs) in cases(given.rows, given.columns).items():
        values = [f(*inputs).item() for f in (ours, plain)]
        times: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(given.rounds):
            times["ours"].append(seconds(ours, inputs))
            times["plain"].append(seconds(plain, inputs))
        a, b = (1e3 * median(times[who]) for who in ("ours", "plain"))
        print(f"{name:22}{a:10.2f}{b:10.2f}{b / a:7.2f}{values[0]:12.5f}{values[1]:12.5f}")


if __name__ == "__main__":
    main()
