"""Losses of an order: a differentiable sorting network, GroCo."""

import math

import torch
from torch import Tensor

from tsssl_fast.backends.precision import precision_name, product
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.blocks import cosines, device_type, row_blocks, unit_rows


def differentiable_sort(scores: Tensor, *, steepness: float = 10.0) -> tuple[Tensor, Tensor]:
    """Odd-even sorting network with a Cauchy distribution function in the place of comparisons
    (Monotonic Differentiable Sorting Networks, 2022). In layer l = 0 ... n - 1 the neighbours
    (i, i + 1), i = l mod 2, l mod 2 + 2, ..., are exchanged softly: with
    f = 1/2 + arctan(steepness (x_i - x_{i+1})) / pi,

        x_i <- f x_i + (1 - f) x_{i+1};  x_{i+1} <- f x_{i+1} + (1 - f) x_i

    and the rows i, i + 1 of the permutation matrix P, the identity before, alike.

    Args:
        scores: (N, n), floating. steepness: > 0; exact sorting in its limit.

    Returns:
        (sorted, P): (N, n), in descending order, and (N, n, n), rows and columns sum to 1:
        P[:, r, j] is the share of score j in rank r.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("scores", scores)
    steepness = checks.positive("steepness", steepness)
    n = scores.shape[1]
    x = scores
    mass = torch.eye(n, dtype=x.dtype, device=x.device).expand(len(x), n, n)
    for layer in range(n):
        first = layer % 2
        pairs = (n - first) // 2
        if not pairs:
            continue
        last = first + 2 * pairs
        upper, lower = x[:, first:last].unflatten(1, (pairs, 2)).unbind(2)
        keep = 0.5 + torch.arctan(steepness * (upper - lower)) / math.pi
        mix = torch.stack([keep, 1 - keep, 1 - keep, keep], -1).unflatten(-1, (2, 2))
        both = torch.stack([upper, lower], -1)[..., None]
        x = torch.cat([x[:, :first], (mix @ both).flatten(1), x[:, last:]], 1)
        middle = mix @ mass[:, first:last].unflatten(1, (pairs, 2))
        mass = torch.cat([mass[:, :first], middle.flatten(1, 2), mass[:, last:]], 1)
    return x, mass


def group_ordering_loss(positive: Tensor, negative: Tensor, *, steepness: float = 10.0) -> Tensor:
    """Every positive is to rank before every negative; in which order they do among themselves is
    free (Learning by Sorting: Self-supervised Learning with Group Ordering Constraints, 2023).
    Binary cross-entropy of the mass that the first P ranks of a soft sort hold of the positives:

        loss_i = -mean over ranks r of log m_r for r < P, log(1 - m_r) for r >= P
        m_r = sum over the positives j of P[r, j]

    Args:
        positive: (N, P), negative: (N, K) similarities, floating.
        steepness: of :func:`differentiable_sort`.

    Returns:
        (N,) losses. m is held between the dtype's eps and 1 - eps.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("positive", positive)
    arguments.check_sets("negative", negative, (len(positive), None), positive, like="positive")
    positive, negative = arguments.in_one_dtype(positive, negative)
    count = positive.shape[1]
    # Sorted groups: the network has only the order between them to find.
    groups = [x.sort(1, descending=True).values for x in (positive, negative)]
    mass = differentiable_sort(torch.cat(groups, 1), steepness=steepness)[1][:, :, :count].sum(2)
    eps = torch.finfo(mass.dtype).eps
    mass = mass.clamp(eps, 1 - eps)
    each = torch.cat([mass[:, :count].log(), (1 - mass[:, count:]).log()], 1)
    return -each.mean(1)


def groco_loss(
    z: Tensor,
    *,
    hardest: int = 10,
    steepness: float = 10.0,
    normalize: bool = True,
    reduction: str = "mean",
    precision: str | None = None,
) -> Tensor:
    """:func:`group_ordering_loss` of every view of a series: its other views against the `hardest`
    most similar views of other series (Learning by Sorting: Self-supervised Learning with Group
    Ordering Constraints, 2023).

    Args:
        z: (V, N, D) embeddings of V >= 2 views of N >= 2 series.
        hardest: negatives of each row, 1 to V (N - 1).
        steepness: > 0, of the sorting network.
        normalize: False: dot products.
        reduction: "mean" over the V N rows, "sum", or "none" for (V N,), views one after the other.
        precision: as in :func:`nt_xent_loss`, of the search of negatives; the similarities that are
            sorted are always float32's own.

    Returns:
        The loss; float32 for 16-bit inputs. Gradients reach both sides of every similarity.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.floating("z", z)
    if z.dim() != 3 or len(z) < 2 or z.shape[1] < 2 or not z.shape[2]:
        raise ValueError(
            f"z: shape {tuple(z.shape)}; accepted: (V, N, D) with V, N >= 2 and D >= 1"
        )
    views, series = z.shape[:2]
    checks.at_least("hardest", hardest, 1)
    if hardest > views * (series - 1):
        raise ValueError(f"hardest: {hardest}; accepted: at most {views * (series - 1)} negatives")
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    how = precision_name(precision)
    with torch.autocast(device_type(z), enabled=False):
        u = unit_rows(z, normalize).flatten(0, 1)
        ids = torch.arange(series, device=z.device).repeat(views)
        chosen = _hardest(u.detach(), ids, hardest, how)
        negative = cosines(u[:, None], u[chosen], normalize=False)
        by_series = u.unflatten(0, (views, series)).transpose(0, 1).repeat(views, 1, 1)
        positive = cosines(u[:, None], by_series, normalize=False)
        itself = torch.arange(views, device=z.device).repeat_interleave(series)
        others = torch.arange(views, device=z.device).expand(len(u), views) != itself[:, None]
        positive = positive[others].unflatten(0, (len(u), views - 1))
        loss = group_ordering_loss(positive, negative, steepness=steepness)
    return checks.reduce(loss, reduction)


@torch.no_grad()
def _hardest(u: Tensor, ids: Tensor, count: int, precision: str) -> Tensor:
    """(rows, count): the most similar rows of other ids."""

    def block(first: int, last: int) -> Tensor:
        similarity = product(u[first:last], u.T, precision)
        same = ids[first:last, None] == ids
        return similarity.masked_fill_(same, -torch.inf).topk(count, dim=1).indices

    return row_blocks(len(u), len(u), block)
