"""Means of other rows' features: by similarity, by segment, by slot, over nearest neighbours."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tsssl_fast.backends.precision import precision_name, product
from tsssl_fast.common import checks
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.blocks import device_type, row_blocks, unit_rows
from tsssl_fast.functional.contrastive.engine import contrastive_loss


def similarity_aggregate(z: Tensor, h: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Every row's features from those of the other rows, by the similarity of their embeddings
    (SimMTM: A Simple Pre-Training Framework for Masked Time-Series Modeling, 2023):

        out_i = sum_{j != i} softmax_j(cos(z_i, z_j) / tau) h_j

    Args:
        z: (N, D) embeddings of N >= 2 series. h: (N, ...) their features.
        temperature: tau > 0.

    Returns:
        h's shape; float32 for 16-bit inputs. Gradients reach both.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("z", z, 2)
    arguments.check_sets("h", h, (len(z), *h.shape[1:]), z, like="z")
    tau = checks.positive("temperature", temperature)
    z, h = arguments.in_one_dtype(z, h)
    with torch.autocast(device_type(z), enabled=False):
        u = unit_rows(z)
        scaled, flat = u / tau, h.to(u.dtype).flatten(1)

        def block(first: int, last: int) -> Tensor:
            a = u[first:last] @ scaled.T
            a.diagonal(first).fill_(-torch.inf)
            return a.softmax(1) @ flat

        return row_blocks(len(z), len(z), block).view(h.shape)


def segment_mean(x: Tensor, segments: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean over the steps of each segment (the region pooling of CALICO: Self-Supervised
    Camera-LiDAR Contrastive Pre-training for BEV Perception, 2023).

        mean_{n,s} = mean over the steps l with segment s of x_{n,l}

    Args:
        x: (N, L, D). segments: (N, L) integers, 0 to count - 1; below 0: of no segment.
        count: segments S >= 1.

    Returns:
        (means, valid): (N, S, D), 0 where a segment has no step, and (N, S) bool, where it has.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    _tokens("x", x)
    checks.at_least("count", count, 1)
    arguments.check_labels("segments", segments.flatten(), x.flatten(0, 1))
    if int(segments.max()) >= count:
        raise ValueError(f"segments: {int(segments.max())}; accepted: below count = {count}")
    belongs = one_hot(segments.clamp_min(-1) + 1, count + 1)[..., 1:].to(x.dtype)
    return _weighted(x, belongs)


def slot_pool(x: Tensor, assignments: Tensor) -> tuple[Tensor, Tensor]:
    """Attentive pooling of steps into slots (Self-Supervised Visual Representation Learning with
    Semantic Grouping, 2022):

        slot_{n,s} = sum_l a_{n,l,s} x_{n,l} / sum_l a_{n,l,s}

    Args:
        x: (N, L, D). assignments: a >= 0, (N, L, S), as a softmax over S gives.

    Returns:
        (slots, valid): (N, S, D), 0 where a slot has no weight, and (N, S) bool: whether the slot
        is the largest of any step, as SlotCon keeps slots for its contrast.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    _tokens("x", x)
    arguments.check_sets("assignments", assignments, (*x.shape[:2], None), x, like="x")
    x, assignments = arguments.in_one_dtype(x, assignments)
    slots, _ = _weighted(x, assignments)
    count = assignments.shape[2]
    return slots, one_hot(assignments.argmax(2), count).amax(1).bool()


def _tokens(name: str, x: Tensor) -> None:
    checks.floating(name, x)
    if x.dim() != 3 or 0 in x.shape:
        raise ValueError(f"{name}: shape {tuple(x.shape)}; accepted: (N, L, D), none of them 0")


def _weighted(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    total = weight.sum(1)
    some = total > 0
    sums = weight.transpose(1, 2) @ x
    return sums / torch.where(some, total, 1.0)[..., None], some


def neighbour_mean(
    z: Tensor,
    queue: Tensor,
    neighbours: int,
    *,
    queue_valid: Tensor | None = None,
    with_self: bool = True,
    precision: str | None = None,
) -> Tensor:
    """Mean of a row and its nearest neighbours by cosine in a queue: the local group of Mugs: A
    Multi-Granular Self-Supervised Learning Framework, 2022.

        out_i = (z_i + sum over the k most similar q of the queue of q) / (k + 1)

    Args:
        z: (N, D). queue: (K, D) past embeddings, constants. neighbours: k, 1 to K.
        queue_valid: (K,) bool flags; a row averages the valid ones among its k.
        with_self: False: without z_i, and over k.
        precision: as in :func:`nt_xent_loss`, of the search.

    Returns:
        (N, D), with gradient for z. Deviation from Mugs, which aggregates by a transformer.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    checks.matrix("z", z)
    arguments.check_sets("queue", queue, (None, z.shape[1]), z, like="z")
    arguments.check_flags("queue_valid", queue_valid, queue)
    if not 1 <= neighbours <= len(queue):
        raise ValueError(f"neighbours: {neighbours}; accepted: 1 to the {len(queue)} rows of queue")
    how = precision_name(precision)
    z, queue = arguments.in_one_dtype(z, queue)
    with torch.no_grad():
        u, keys = unit_rows(z, False), unit_rows(queue)

        def block(first: int, last: int) -> Tensor:
            similarity = product(u[first:last], keys.T, how)
            if queue_valid is not None:
                similarity.masked_fill_(~queue_valid, -torch.inf)
            return similarity.topk(neighbours, dim=1).indices

        chosen = row_blocks(len(u), len(keys), block)
        flags = torch.ones_like(chosen, dtype=torch.bool)
        if queue_valid is not None:
            flags = queue_valid[chosen]
        total = torch.where(flags[..., None], queue[chosen], 0.0).sum(1)
        number = flags.sum(1, keepdim=True).to(z.dtype)
    if with_self:
        return (z + total) / (number + 1)
    return total / number.clamp_min(1)


def region_contrastive_loss(
    points: Tensor,
    regions: Tensor,
    segments: Tensor,
    *,
    temperature: float | Tensor = 0.1,
    valid: Tensor | None = None,
    normalize: bool = True,
    reduction: str = "mean",
    precision: str | None = None,
    backend: str | None = None,
) -> Tensor:
    """Every step against the mean of its region, the other regions of the batch as negatives
    (CALICO: Self-Supervised Camera-LiDAR Contrastive Pre-training for BEV Perception, 2023); with
    slots in the place of regions the contrast of SlotCon (2022).

        loss of step (n, l) = -log( e^{<x_nl, r_n,s(l)> / tau} / sum_{m,t} e^{<x_nl, r_m,t> / tau} )

    Args:
        points: (N, L, D). regions: (N, S, D), of another view or modality: :func:`segment_mean`.
        segments: (N, L) integers, the region of each step; below 0: the step is no query.
        temperature: tau > 0: a float, or a 0-d tensor (gets its gradient).
        valid: (N, S) bool, regions that take part: segment_mean's second result.
        normalize, reduction, precision, backend: as in :func:`contrastive_loss`; "mean" is over the
            steps that have a region, "none" gives (N, L).

    Returns:
        The loss; float32 for 16-bit inputs.

    Raises:
        TypeError, ValueError: naming the argument; BackendUnavailableError for a forced backend.
    """
    _tokens("points", points)
    arguments.check_sets(
        "regions", regions, (len(points), None, points.shape[2]), points, like="points"
    )
    arguments.check_labels("segments", segments.flatten(), points.flatten(0, 1))
    count = regions.shape[1]
    _check_below(segments, count)
    if valid is not None:
        arguments.check_shape("valid", valid, tuple(regions.shape[:2]), points)
        arguments.check_flags("valid", valid.flatten(), regions.flatten(0, 1))
    offset = count * torch.arange(len(points), device=points.device)[:, None]
    live = segments >= 0
    if valid is not None:
        live = live & valid.gather(1, segments.clamp_min(0))
    loss = contrastive_loss(
        points.flatten(0, 1),
        regions.flatten(0, 1),
        temperature=temperature,
        q_ids=(segments + offset).flatten(),
        k_ids=torch.arange(len(points) * count, device=points.device),
        q_valid=live.flatten(),
        k_valid=None if valid is None else valid.flatten(),
        normalize=normalize,
        reduction=reduction,
        precision=precision,
        backend=backend,
    )
    return loss.view(segments.shape) if reduction == "none" else loss


def _check_below(segments: Tensor, count: int) -> None:
    if torch.compiler.is_compiling():  # a graph does not wait for a number
        torch._assert_async((segments < count).all(), f"segments: accepted: below {count}")
    elif int(segments.max()) >= count:
        raise ValueError(f"segments: {int(segments.max())}; accepted: below the {count} regions")
