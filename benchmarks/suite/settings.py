"""Other settings of the contrastive engine, forward and backward, float32."""

import math
from collections.abc import Sequence

import torch
from registry import Case, Inputs, Run
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from suite.common import Loss, at, in_double, of_loss, pairs_bytes, run
from tsssl_fast import functional
from tsssl_fast.ops.contrastive import spec

TEMPERATURE = 0.1
CLASSES = 10


def labels(rows: int) -> Tensor:
    return torch.arange(rows) % CLASSES


def logits(q: Tensor, k: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    return normalize(q) @ normalize(k).T / temperature


def eager_sup_con(z: Tensor, y: Tensor | None = None, temperature: float = TEMPERATURE) -> Tensor:
    """y: labels; None: ten classes in turn."""
    y, itself = labels(len(z)) if y is None else y, torch.eye(len(z), dtype=torch.bool)
    a = logits(z, z, temperature).masked_fill(itself, -torch.inf)
    positive = (y[:, None] == y) & ~itself
    share = (a - a.logsumexp(1, keepdim=True)).masked_fill(~positive, 0)
    return -(share.sum(1) / positive.sum(1)).mean()


def eager_clip(q: Tensor, k: Tensor) -> Tensor:
    a, target = logits(q, k), torch.arange(len(q))
    return (cross_entropy(a, target) + cross_entropy(a.T, target)) / 2


def _positives(n: int) -> Tensor:
    return torch.arange(2 * n).roll(n)


def eager_dcl(z1: Tensor, z2: Tensor) -> Tensor:
    a = logits(z := torch.cat([z1, z2]), z)
    rows, other = torch.arange(len(a)), _positives(len(z1))
    hidden = (rows[:, None] == rows) | (other[:, None] == rows)
    return (a.masked_fill(hidden, -torch.inf).logsumexp(1) - a[rows, other]).mean()


def eager_groups(z1: Tensor, z2: Tensor) -> Tensor:
    """Negatives of the same pseudo-label do not count."""
    a = logits(z := torch.cat([z1, z2]), z)
    rows, other = torch.arange(len(a)), _positives(len(z1))
    group = labels(len(z1)).repeat(2)
    positive = other[:, None] == rows
    a = a.masked_fill((group[:, None] == group) & ~positive, -torch.inf)
    return cross_entropy(a, other)


def groups(z1: Tensor, z2: Tensor) -> Tensor:
    ids = torch.arange(len(z1)).repeat(2)
    z = torch.cat([z1, z2])
    out = functional.contrastive_loss(
        z, q_ids=ids, q_groups=labels(len(z1)).repeat(2), temperature=TEMPERATURE
    )
    assert isinstance(out, Tensor)
    return out


def queue_case() -> tuple[Loss, Loss]:
    queue = normalize(torch.randn(65536, 128, generator=torch.Generator().manual_seed(1)))

    def eager(q: Tensor, k: Tensor) -> Tensor:
        q, k, old = normalize(q), normalize(k), queue.to(q.dtype)
        a = torch.cat([(q * k).sum(1, keepdim=True), q @ old.T], dim=1) / TEMPERATURE
        return cross_entropy(a, torch.zeros(len(q), dtype=torch.int64))

    def ours(q: Tensor, k: Tensor) -> Tensor:
        return functional.info_nce_loss(q, k, temperature=TEMPERATURE, negatives=queue.to(q.dtype))

    return ours, eager


def eager_sigmoid(q: Tensor, k: Tensor) -> Tensor:
    """As SigLIP's authors write it, scale 10 and bias -10."""
    sign = 2 * torch.eye(len(q), dtype=q.dtype) - 1
    return -logsigmoid(sign * (normalize(q) @ normalize(k).T * 10 - 10)).sum(1).mean()


def eager_triplet(z: Tensor) -> Tensor:
    y, itself = labels(len(z)), torch.eye(len(z), dtype=torch.bool)
    s = normalize(z) @ normalize(z).T
    same = y[:, None] == y
    hardest = s.masked_fill(same, -torch.inf).amax(1, keepdim=True)
    positive = same & ~itself
    gap = (0.2 - s + hardest).clamp_min(0).masked_fill(~positive, 0)
    return (gap.sum(1) / positive.sum(1)).mean()


# Products, forward and backward, of a symmetric set: half of one, half of one again, one; of two
# towers: one, one again, and one for each side's gradient.
ONE_SET, TWO_TOWERS = 1.0, 2.0


def plain_rows(z: Inputs, rows: int) -> Run:
    """NT-Xent of so many rows of the inputs; of one input, its halves are the views."""
    half = rows // 2
    views = z[0].split(half) if len(z) == 1 else tuple(x[:half] for x in z)
    return run(lambda a, b: functional.nt_xent_loss(a, b, temperature=TEMPERATURE), views)


def make(
    name: str,
    shapes: Sequence[tuple[int, ...]],
    ours: Loss,
    eager: Loss,
    pairs: float,
    bars: dict[str, float] | None = None,
    work: float | None = None,
    quick: bool = False,
) -> Case:
    """name: operator and shape. shapes: of the inputs; the second is near the first."""
    operator, _, shape = name.rpartition(" ")

    def inputs() -> Inputs:
        generator = torch.Generator().manual_seed(0)
        first = torch.randn(shapes[0], generator=generator)
        noise = [torch.randn(s, generator=generator) / 2 for s in shapes[1:]]
        return (first, *(first + x for x in noise))

    return Case(
        family="contrastive",
        operator=operator,
        shape=tuple(map(int, shape.split("x"))),
        inputs=inputs,
        truth=in_double(eager),
        providers=of_loss(ours, eager),
        baseline="eager",
        factor=spec.ERROR_FACTOR,
        flops=2.0 * pairs * shapes[0][-1],
        bars=bars or {},
        plain=None if work is None else lambda z: plain_rows(z, math.isqrt(int(pairs))),
        work=work or 1.0,
        needs=pairs_bytes(pairs),
        plain_flops=6.0 * pairs * shapes[0][-1],
        quick=quick,
    )


def sup_con(z: Tensor) -> Tensor:
    return functional.sup_con_loss(z, labels(len(z)), temperature=TEMPERATURE)


def clip(q: Tensor, k: Tensor) -> Tensor:
    return functional.clip_loss(q, k, temperature=TEMPERATURE)


def dcl(a: Tensor, b: Tensor) -> Tensor:
    return functional.dcl_loss(a, b, temperature=TEMPERATURE)


def triplet(z: Tensor) -> Tensor:
    return functional.triplet_loss(z, labels(len(z)))


PAIR, TOWERS, SET = [(1024, 128)] * 2, [(2048, 128)] * 2, [(2048, 128)]
ALL = 2048**2
NEAR_PLAIN = {"per_work": 1.25}
CASES = [
    make("sup_con 512x128", [(512, 128)], sup_con, eager_sup_con, 512**2, quick=True),
    make("sup_con 2048x128", SET, sup_con, eager_sup_con, ALL, NEAR_PLAIN, ONE_SET),
    make("clip 512x128", [(512, 128)] * 2, clip, eager_clip, 512**2, quick=True),
    make("clip 2048x128", TOWERS, clip, eager_clip, ALL, NEAR_PLAIN, TWO_TOWERS),
    make("dcl 1024x128", PAIR, dcl, eager_dcl, ALL, NEAR_PLAIN, ONE_SET),
    make("groups 1024x128", PAIR, groups, eager_groups, ALL, NEAR_PLAIN, ONE_SET),
    make("sigmoid 2048x128", TOWERS, functional.siglip_loss, eager_sigmoid, ALL),
    make("triplet 2048x128", SET, triplet, eager_triplet, ALL),
    make(
        *("queue 256x128x65536", [(256, 128)] * 2, *queue_case(), 256 * 65536),
        bars={"ratio": 3.0},
        quick=True,
    ),
]
CASES += [at(case, p) for case in (CASES[3], CASES[-1]) for p in ("medium", "bf16")]
