"""Losses of the batch that all processes have together.

Queries stay local, keys are gathered with gradient; statistics are of all rows. Every process gets
the same number, that of a single process with the whole batch. Batches may be uneven or empty.
Memory a process: its own queries and all rows, O(N D) of the whole batch, and no N x N.
"""

from typing import Any

import torch
from torch import Tensor

from tsssl_fast import functional
from tsssl_fast.common import checks, collectives
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive import arguments
from tsssl_fast.functional.contrastive.problem import MEAN_OVER, Problem
from tsssl_fast.functional.contrastive.row_losses import row_loss
from tsssl_fast.functional.contrastive.solve import row_statistics
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN

__all__ = [
    "barlow_twins_loss",
    "clip_loss",
    "dcl_loss",
    "dclw_loss",
    "hierarchical_contrastive_loss",
    "info_nce_loss",
    "moco_loss",
    "nt_xent_loss",
    "siglip_loss",
    "sup_con_loss",
    "vicreg_loss",
]

Temperature = float | Tensor


def nt_xent_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    process_group: Group = "world",
    ddp: bool = True,
    temperature: Temperature = 0.1,
    normalize: bool = True,
) -> Tensor:
    """:func:`tsssl_fast.functional.nt_xent_loss` of the rows of all processes, the mean over them.

    Args:
        z1, z2: (N_r, D), this process's; N_r may differ, and be 0.
        process_group: of torch.distributed, or "world".
        ddp: the backward is scaled for DistributedDataParallel, whose mean of gradients is then the
            gradient of the whole batch; False: for who sums gradients.
        Others as there; a temperature that is a tensor gets its gradient, scaled in the same way.

    Raises:
        TypeError, ValueError: as there; ValueError on every process where dimensions, dtypes or
            options differ between processes, or where torch.distributed is not initialised.
    """
    return _two_views(z1, z2, "all", process_group, ddp, temperature, normalize)


def dcl_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    process_group: Group = "world",
    ddp: bool = True,
    temperature: Temperature = 0.1,
    normalize: bool = True,
) -> Tensor:
    """:func:`tsssl_fast.functional.dcl_loss`; arguments and errors as for :func:`nt_xent_loss`."""
    return _two_views(z1, z2, "negatives", process_group, ddp, temperature, normalize)


def dclw_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    process_group: Group = "world",
    ddp: bool = True,
    temperature: Temperature = 0.1,
    sigma: float = 0.5,
    normalize: bool = True,
) -> Tensor:
    """:func:`tsssl_fast.functional.dclw_loss`, the weights' softmax over the pairs of all
    processes; arguments and errors as for :func:`nt_xent_loss`."""
    sigma = checks.positive("sigma", sigma)
    return _two_views(z1, z2, "negatives", process_group, ddp, temperature, normalize, sigma)


def _two_views(
    z1: Tensor,
    z2: Tensor,
    denominator: str,
    process_group: Group,
    ddp: bool,
    temperature: Temperature,
    normalize: bool,
    sigma: float | None = None,
) -> Tensor:
    group = collectives.group_of(process_group)
    options = f"two views {denominator} {normalize} {sigma} {_shown(temperature)}"
    own, others = collectives.own_first(_stacked(("z1", "z2"), z1, z2), group, options)
    count = 2 * (len(own) + len(others))
    if not len(own):
        return collectives.total_of_shares(_nothing(others, temperature), group, ddp=ddp)
    arguments.check_temperature_value("temperature", temperature)
    share = functional.contrastive_loss(
        own.transpose(0, 1).flatten(0, 1),
        temperature=temperature,
        q_ids=torch.arange(len(own), device=own.device).repeat(2),
        denominator=denominator,
        negatives=others.flatten(0, 1) if len(others) else None,
        normalize=normalize,
        reduction="sum",
    )
    if sigma is not None:
        similarity = _paired(own, normalize)
        every = torch.cat([similarity, _paired(others, normalize)]).detach() / sigma
        weight = (2 - len(every) * every.softmax(0))[: len(own)]
        share = share + 2 * ((1 - weight) * similarity / temperature).sum()
    return collectives.total_of_shares(share / count, group, ddp=ddp)


def _paired(z: Tensor, normalize: bool) -> Tensor:
    """<z_i1, z_i2>, (N,), of (N, 2, D)."""
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    if normalize:
        z = torch.nn.functional.normalize(z, dim=2)
    return (z[:, 0] * z[:, 1]).sum(dim=1)


def info_nce_loss(
    q: Tensor,
    k: Tensor,
    *,
    process_group: Group = "world",
    ddp: bool = True,
    temperature: Temperature = 0.1,
    negatives: Tensor | None = None,
    negatives_valid: Tensor | None = None,
    symmetric: bool = False,
    normalize: bool = True,
) -> Tensor:
    """:func:`tsssl_fast.functional.info_nce_loss`; arguments and errors as for
    :func:`nt_xent_loss`. `negatives` must be the same on every process, and are not gathered."""
    group = collectives.group_of(process_group)
    if negatives is not None and symmetric:
        raise ValueError("symmetric: True with negatives; accepted: False")
    settings: dict[str, Any] = {
        "temperature": temperature,
        "normalize": normalize,
        "reduction": "sum",
    }
    if negatives is not None:  # the only rows that a query meets beside its own key
        counted = torch.tensor(len(q), device=q.device)
        count = collectives.sum_over_processes(counted, group)
        if len(q):
            more = {"negatives": negatives, "negatives_valid": negatives_valid, **settings}
            share = functional.info_nce_loss(q, k, **more)
        else:
            share = _nothing(q, temperature)
        return collectives.total_of_shares(share / count, group, ddp=ddp)
    options = f"info_nce {symmetric} {normalize} {_shown(temperature)}"
    own, others = collectives.own_first(_stacked(("q", "k"), q, k), group, options)
    sides = ((0, 1), (1, 0)) if symmetric else ((0, 1),)
    if not len(own):
        return collectives.total_of_shares(_nothing(others, temperature), group, ddp=ddp)
    ids = torch.arange(len(own), device=own.device)
    share = torch.stack(
        [
            functional.contrastive_loss(
                *(own[:, a], own[:, b]),
                q_ids=ids,
                k_ids=ids,
                negatives=others[:, b] if len(others) else None,
                **settings,
            )
            for a, b in sides
        ]
    ).sum()
    share = share / (len(sides) * (len(own) + len(others)))
    return collectives.total_of_shares(share, group, ddp=ddp)


def clip_loss(
    q: Tensor,
    k: Tensor,
    *,
    process_group: Group = "world",
    ddp: bool = True,
    temperature: Temperature = 0.07,
    normalize: bool = True,
) -> Tensor:
    """:func:`tsssl_fast.functional.clip_loss`; arguments and errors as for :func:`nt_xent_loss`."""
    return info_nce_loss(
        q,
        k,
        process_group=process_group,
        ddp=ddp,
        temperature=temperature,
        symmetric=True,
        normalize=normalize,
    )


def moco_loss(
    q: Tensor,
    k: Tensor,
    negatives: Tensor,
    *,
    process_group: Group = "world",
    ddp: bool = True,
    temperature: Temperature = 0.2,
    negatives_valid: Tensor | None = None,
    normalize: bool = True,
) -> Tensor:
    """:func:`tsssl_fast.functional.moco_loss`; arguments and errors as for :func:`nt_xent_loss`.
    The queue must be the same on every process: what enters it is `gather_rows(k)`."""
    return info_nce_loss(
        q,
        k.detach(),
        process_group=process_group,
        ddp=ddp,
        temperature=temperature,
        negatives=negatives.detach(),
        negatives_valid=negatives_valid,
        normalize=normalize,
    )


def siglip_loss(
    q: Tensor,
    k: Tensor,
    *,
    process_group: Group = "world",
    ddp: bool = True,
    logit_scale: float | Tensor = 10.0,
    logit_bias: float | Tensor = -10.0,
    normalize: bool = True,
) -> Tensor:
    """:func:`tsssl_fast.functional.siglip_loss`; arguments and errors as for
    :func:`nt_xent_loss`."""
    group = collectives.group_of(process_group)
    options = f"siglip {normalize} {_shown(logit_scale)} {_shown(logit_bias)}"
    own, others = collectives.own_first(_stacked(("q", "k"), q, k), group, options)
    if not len(own):
        nothing = _nothing(others, logit_scale, logit_bias)
        return collectives.total_of_shares(nothing, group, ddp=ddp)
    ids = torch.arange(len(own) + len(others), device=own.device)
    share = functional.siglip_loss(
        own[:, 0],
        torch.cat([own[:, 1], others[:, 1]]),
        logit_scale=logit_scale,
        logit_bias=logit_bias,
        q_ids=ids[: len(own)],
        k_ids=ids,
        normalize=normalize,
        reduction="sum",
    )
    return collectives.total_of_shares(share / len(ids), group, ddp=ddp)


def sup_con_loss(
    z: Tensor,
    labels: Tensor,
    *,
    process_group: Group = "world",
    ddp: bool = True,
    temperature: Temperature = 0.1,
    normalize: bool = True,
    mean_over: str = "with_positive",
) -> Tensor:
    """:func:`tsssl_fast.functional.sup_con_loss`, labels of all processes together; arguments and
    errors as for :func:`nt_xent_loss`. z: (M_r, D). labels: (M_r,)."""
    group = collectives.group_of(process_group)
    checks.choice("mean_over", mean_over, MEAN_OVER)
    if tuple(labels.shape) != (len(z),):
        raise ValueError(f"labels: shape {tuple(labels.shape)}; accepted: ({len(z)},)")
    options = f"sup_con {normalize} {mean_over} {_shown(temperature)}"
    own, others = collectives.own_first(z, group, options)
    ids, other_ids = collectives.own_first(labels.to(z.device, torch.int64), group)
    if len(own):
        arguments.check_temperature_value("temperature", temperature)
        rules = PLAIN._replace(
            q_id=ids, k_id=torch.cat([ids, other_ids]), normalize=normalize, skip_diagonal=True
        )
        found = row_statistics(own, torch.cat([own, others]), Problem(rules, temperature))
        share = row_loss(found, "mean_log", "all").sum()
        counted = found.has_positive.sum()
    else:
        share, counted = _nothing(others, temperature), torch.zeros((), device=z.device).long()
    if mean_over == "with_positive":
        count = collectives.sum_over_processes(counted, group).clamp_min(1)
    else:
        count = torch.full_like(counted, len(own) + len(others))
    return collectives.total_of_shares(share / count, group, ddp=ddp)


def vicreg_loss(
    z1: Tensor,
    z2: Tensor,
    *more: Tensor,
    process_group: Group = "world",
    ddp: bool = True,
    **options: Any,
) -> Tensor:
    """:func:`tsssl_fast.functional.vicreg_loss`, whose options it takes; arguments and errors as
    for :func:`nt_xent_loss`. Every process computes the statistics of all rows."""
    views = (z1, z2, *more)
    names = ("z1", "z2", *(f"more[{i}]" for i in range(len(more))))
    return _of_all_rows(functional.vicreg_loss, names, views, process_group, ddp, options)


def barlow_twins_loss(
    z1: Tensor, z2: Tensor, *, process_group: Group = "world", ddp: bool = True, **options: Any
) -> Tensor:
    """:func:`tsssl_fast.functional.barlow_twins_loss`, whose options it takes; arguments and errors
    as for :func:`nt_xent_loss`. Every process computes the statistics of all rows."""
    function = functional.barlow_twins_loss
    return _of_all_rows(function, ("z1", "z2"), (z1, z2), process_group, ddp, options)


def hierarchical_contrastive_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    process_group: Group = "world",
    ddp: bool = True,
    alpha: float = 0.5,
    temperature: float = 1.0,
    normalize: bool = False,
) -> Tensor:
    """:func:`tsssl_fast.functional.hierarchical_contrastive_loss`, the instance contrast between
    the series of all processes, which every process computes; the temporal contrast is of its own
    series. z1, z2: (B_r, T, D). Arguments and errors as for :func:`nt_xent_loss`."""
    group = collectives.group_of(process_group)
    checks.at_least("alpha", alpha, 0.0)
    if alpha > 1:
        raise ValueError(f"alpha: {alpha}; accepted: a number in [0, 1]")
    options = f"hierarchical {alpha} {temperature} {normalize}"
    parts = collectives.gather_parts(_stacked(("z1", "z2"), z1, z2, dims=3), group, options)
    every, own = torch.cat(parts), parts[collectives.rank(group)]
    settings: dict[str, Any] = {"temperature": temperature, "normalize": normalize}
    loss = functional.hierarchical_contrastive_loss
    share = alpha * loss(*every.unbind(1), alpha=1.0, **settings) / len(parts)
    if len(own) and alpha < 1:
        temporal = loss(*own.unbind(1), alpha=0.0, **settings)
        share = share + (1 - alpha) * temporal * (len(own) / len(every))
    return collectives.total_of_shares(share, group, ddp=ddp)


def _of_all_rows(
    function: Any,
    names: tuple[str, ...],
    views: tuple[Tensor, ...],
    process_group: Group,
    ddp: bool,
    options: dict[str, Any],
) -> Tensor:
    """Each process has its share of one and the same number."""
    group = collectives.group_of(process_group)
    for option in ("return_terms", "return_stats"):
        if options.get(option):
            raise ValueError(f"{option}: True with process_group; accepted: False")
    parts = collectives.gather_parts(_stacked(names, *views), group, f"{sorted(options.items())}")
    loss = function(*torch.cat(parts).unbind(1), **options)
    return collectives.total_of_shares(loss / len(parts), group, ddp=ddp)


def _stacked(names: tuple[str, ...], *views: Tensor, dims: int = 2) -> Tensor:
    """(N, V, ..., D), for one collective; N may be 0."""
    for name, z in zip(names, views, strict=True):
        checks.floating(name, z)
        if z.dim() != dims or 0 in z.shape[1:]:
            raise ValueError(f"{name}: shape {tuple(z.shape)}; accepted: {dims} sizes, N >= 0")
    checks.alike(names, views)
    return torch.stack(views, dim=1)


def _nothing(others: Tensor, *numbers: float | Tensor) -> Tensor:
    """0, for a process without rows, whose backward takes part: others' gradients pass through it,
    and parameters get one of 0."""
    found = others[:0].sum().to(torch.promote_types(others.dtype, torch.float32))
    for x in numbers:
        if isinstance(x, Tensor):
            found = found + 0 * x.sum()
    return found


def _shown(number: float | Tensor) -> str:
    """A number, which must be the same on every process; a tensor's value is not read."""
    return "a tensor" if isinstance(number, Tensor) else repr(float(number))
