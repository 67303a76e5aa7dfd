"""Losses of all pairs of a batch beside the engine's: CLAN, NNCLR, SCGC."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tsssl_fast.backends.precision import precision_name, product
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.blocks import (
    check_temperature,
    device_type,
    inverse_temperature,
    row_blocks,
    unit_rows,
)
from tsssl_fast.functional.contrastive.problem import Temperature
from tsssl_fast.functional.contrastive.queries_keys import info_nce_loss
from tsssl_fast.ops.contrastive import spec


def clan_loss(
    z: Tensor,
    z_aug: Tensor,
    *,
    temperature: Temperature = 0.1,
    normalize: bool = True,
    reduction: str = "mean",
    precision: str | None = None,
) -> Tensor:
    """Augmented series as negatives, all other series as positives (Contrastive Self-Supervised
    Network Intrusion Detection using Augmented Negative Pairs, 2025). With a = <u, v> / tau:

        loss_i = mean over j != i of -log( e^a(z_i, z_j) / (e^a(z_i, z_j) + sum_k e^a(z_i, aug_k)) )

    k runs over all of z_aug, the row's own too.

    Args:
        z, z_aug: (N, D) embeddings of normal series and of their augmented copies; N >= 2.
        temperature: tau > 0: a float, a 0-d tensor (gets its gradient), or (N,).
        normalize: False: dot products.
        reduction: "mean" over the rows, "sum", or "none" for (N,).
        precision: as in :func:`nt_xent_loss`.

    Returns:
        The loss; float32 for 16-bit inputs.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("z", z, 2)
    z, z_aug = checks.alike(("z", "z_aug"), (z, z_aug))
    check_temperature(temperature, z)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    how = precision_name(precision)
    with torch.autocast(device_type(z), enabled=False):
        u, v = unit_rows(z, normalize), unit_rows(z_aug, normalize)
        beta = inverse_temperature(temperature, u)
        scaled = u * beta

        def block(first: int, last: int) -> Tensor:
            rows = scaled[first:last]
            negative = product(rows, v.T, how).logsumexp(1, keepdim=True)
            each = softplus(negative - product(rows, u.T, how))
            # The row itself is no positive of its own.
            return each.sum(1) - each.diagonal(first)

        # The shape's number, which torch.jit.trace has in its graph: len(z) would stay.
        count = z.shape[0]
        loss = row_blocks(count, len(z), block) / (count - 1)
    return checks.reduce(loss, reduction)


def nnclr_loss(
    z1: Tensor,
    z2: Tensor,
    queue: Tensor,
    *,
    temperature: Temperature = 0.1,
    queue_valid: Tensor | None = None,
    symmetric: bool = True,
    normalize: bool = True,
    reduction: str = "mean",
    precision: str | None = None,
    backend: str | None = None,
) -> Tensor:
    """A row's positive is the other view of its nearest neighbour in a queue (With a Little Help
    from My Friends: Nearest-Neighbor Contrastive Learning of Visual Representations, 2021):

        loss_i = -log( e^a(nn(z1_i), z2_i) / sum_j e^a(nn(z1_i), z2_j) ),  a = <u, v> / tau

    with nn(z) the row of the queue most similar to z, without gradient; for `symmetric` the mean of
    it and of the same with z1 and z2 exchanged.

    Args:
        z1, z2: (N, D) embeddings of two views. queue: (K, D) past embeddings of other batches,
            which losses.NNCLRLoss keeps by itself.
        temperature: tau > 0: a float, a 0-d tensor (gets its gradient), or (N,).
        queue_valid: (K,) bool flags of filled slots; while none is, a row is its own neighbour.
        normalize: False: dot products, for the neighbour, too.
        reduction: "mean" over the rows, "sum", or "none": (N,), or (2N,) for symmetric.
        precision: as in :func:`nt_xent_loss`. backend: see the package.

    Returns:
        The loss; float32 for 16-bit inputs.

    Raises:
        TypeError, ValueError: naming the argument; BackendUnavailableError for a forced backend.
    """
    checks.matrix("z1", z1)
    z1, z2 = checks.alike(("z1", "z2"), (z1, z2))
    check_temperature(temperature, z1)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    nearest = [
        nearest_keys(z, queue, valid=queue_valid, normalize=normalize, precision=precision)
        for z in ((z1, z2) if symmetric else (z1,))
    ]
    losses = [
        info_nce_loss(
            *(found, key),
            temperature=temperature,
            normalize=normalize,
            reduction="none",
            precision=precision,
            backend=backend,
        )
        for found, key in zip(nearest, (z2, z1), strict=False)
    ]
    return checks.reduce(torch.cat(losses), reduction)


@torch.no_grad()
def nearest_keys(
    z: Tensor,
    queue: Tensor,
    *,
    valid: Tensor | None = None,
    normalize: bool = True,
    precision: str | None = None,
) -> Tensor:
    """The row of a queue most similar to each row: (N, D), (K, D) -> (N, D), without gradient.

    valid: (K,) bool flags; without a valid slot a row is its own neighbour. Of equals the first.
    normalize: False: by dot product. Raises TypeError, ValueError naming the argument.
    """
    checks.matrix("z", z)
    arguments.check_sets("queue", queue, (None, z.shape[1]), z, like="z")
    arguments.check_flags("queue_valid", valid, queue)
    z, queue = arguments.in_one_dtype(z, queue)
    how = precision_name(precision)
    # A row's own length does not change which key is the nearest.
    u, keys = unit_rows(z, False), unit_rows(queue, normalize)

    def block(first: int, last: int) -> Tensor:
        similarity = product(u[first:last], keys.T, how)
        if valid is not None:
            similarity.masked_fill_(~valid, -torch.inf)
        return similarity.argmax(1)

    found = queue[row_blocks(len(u), len(keys), block)]
    # Detached once more: for torch.jit.trace no_grad is nothing.
    return (found if valid is None else torch.where(valid.any(), found, z)).detach()


def scgc_loss(
    z: Tensor,
    influence: Tensor,
    *,
    temperature: Temperature = 0.5,
    normalize: bool = True,
    reduction: str = "mean",
    precision: str | None = None,
) -> Tensor:
    """Rows attract by the influence that a graph gives them on each other (SCGC: Self-Supervised
    Contrastive Graph Clustering, 2022), positives weighed apart from the pairs:

        loss_i = -log( sum_j A_ij e^{s_ij / tau} / sum_j e^{s_ij / tau} )

    Both sums have the row itself. `graphs.influence` makes A from powers of an adjacency.

    Args:
        z: (N, D). influence: A, (N, N) >= 0, a constant.
        temperature: tau > 0: a float, a 0-d tensor (gets its gradient), or (N,).
        normalize: False: dot products.
        reduction: "mean" over the rows, "sum", or "none" for (N,).
        precision: as in :func:`nt_xent_loss`.

    Returns:
        The loss; float32 for 16-bit inputs. A row without influence gives 0.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("z", z)
    checks.floating("influence", influence)
    arguments.check_shape("influence", influence, (len(z), len(z)), z)
    check_temperature(temperature, z)
    checks.choice("reduction", reduction, checks.REDUCTIONS)
    how = precision_name(precision)
    weight = influence.detach()
    # Then one shift serves all rows: every exponential is a normal number.
    limit = spec.FIXED_SHIFT_LIMIT[torch.float32]
    plain = normalize and isinstance(temperature, (int, float)) and 2 / temperature < limit
    with torch.autocast(device_type(z), enabled=False):
        u = unit_rows(z, normalize)
        scaled = u * inverse_temperature(temperature, u)

        def block(first: int, last: int) -> Tensor:
            a = product(scaled[first:last], u.T, how)
            w = weight[first:last].to(a.dtype)
            if not plain:
                return _weighted_row_loss(a, w)
            e = a.exp()
            total = (w * e).sum(1)
            some = total > 0
            return torch.where(some, e.sum(1).log() - torch.where(some, total, 1.0).log(), 0.0)

        loss = row_blocks(len(z), len(z), block)
    return checks.reduce(loss, reduction)


def _weighted_row_loss(a: Tensor, w: Tensor) -> Tensor:
    """log sum e^a - log sum w e^a, the latter from the largest logit with a weight on: not all of
    its exponentials can vanish. 0 without a weight."""
    logits = torch.where(w > 0, a, -torch.inf)
    top = logits.detach().amax(1, keepdim=True)
    some = top != -torch.inf
    top = torch.where(some, top, 0.0)
    total = (w * (logits - top).exp()).sum(1, keepdim=True)
    weighted = torch.where(some, total, 1.0).log() + top
    return torch.where(some, a.logsumexp(1, keepdim=True) - weighted, 0.0)[:, 0]
