"""Many small contrastive problems at once, and the hierarchical loss of TS2Vec made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypedDict, overload

import torch
from torch import Tensor

from tsssl_fast.backends.precision import precision_name
from tsssl_fast.common import checks, collectives
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.contrastive import agreement, arguments
from tsssl_fast.functional.contrastive.blocks import device_type
from tsssl_fast.functional.contrastive.definition import Block, block_rows
from tsssl_fast.functional.contrastive.options import Off, On
from tsssl_fast.functional.contrastive.problem import Problem, inverse
from tsssl_fast.functional.contrastive.row_losses import Rows, RowStatistics
from tsssl_fast.functional.contrastive.sides import embedded
from tsssl_fast.functional.contrastive.solve import Loss, backend_name
from tsssl_fast.functional.contrastive.statistics import (
    TOP_K,
    ContrastiveStats,
    contrastive_stats,
)
from tsssl_fast.ops.contrastive import spec
from tsssl_fast.ops.contrastive.operators import hierarchical as operator
from tsssl_fast.ops.contrastive.operators.grouped import grouped_nt_xent
from tsssl_fast.ops.contrastive.reference.pairs import PLAIN

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Grouped(TypedDict, total=False):
    temperature: float | Tensor
    normalize: bool
    lengths: Tensor | None
    precision: str | None
    backend: str | None


class _Levels(_Grouped, total=False):
    alpha: float
    process_group: Group
    ddp: bool


@overload
def hierarchical_contrastive_loss(
    z1: Tensor, z2: Tensor, *, return_stats: Off = ..., **options: Unpack[_Levels]
) -> Tensor: ...
@overload
def hierarchical_contrastive_loss(
    z1: Tensor, z2: Tensor, *, return_stats: On, **options: Unpack[_Levels]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def hierarchical_contrastive_loss(
    z1: Tensor, z2: Tensor, *, return_stats: bool, **options: Unpack[_Levels]
) -> Loss: ...
def hierarchical_contrastive_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    alpha: float = 0.5,
    temperature: float | Tensor = 1.0,
    normalize: bool = False,
    lengths: Tensor | None = None,
    return_stats: bool = False,
    precision: str | None = None,
    process_group: Group = None,
    ddp: bool = True,
    backend: str | None = None,
) -> Loss:
    """Instance and temporal contrast on every level of a max-pooled pyramid (TS2Vec, Yue et al.,
    AAAI 2022): the mean over levels of alpha L_instance + (1 - alpha) L_temporal, where L_instance
    contrasts the series of the batch at each step, L_temporal the steps of each series; both
    NT-Xent of the two views on dot products, the mean over rows. The last level (one step) has
    L_instance only. One operator forward and one backward; nothing of size T x T is stored.

    Args:
        z1, z2: (B, T, D) representations of two views, aligned in time; dtypes as for
            :func:`nt_xent_loss`.
        alpha: weight of the instance contrast, in [0, 1].
        temperature: tau > 0; a 0-d tensor gets its gradient, for two operators a level.
        normalize: cosine instead of dot product.
        lengths: (B,) int64, valid steps per series, 1 to T: padding takes no part, and its gradient
            is 0; level by level floor(length / 2), and levels at which no step is left are not
            counted.
        return_stats: also a :class:`ContrastiveStats` of the pairs of both contrasts on all levels;
            see :func:`grouped_nt_xent_loss`.
        precision: as in :func:`nt_xent_loss`.
        process_group, ddp: as for :func:`nt_xent_loss`, series for rows. Every process computes the
            instance contrast of all series, and the temporal one of its own.
        backend: see the package.

    Returns:
        Scalar; float32 for 16-bit inputs.

    Raises:
        TypeError, ValueError: naming the argument.
        NotImplementedError: lengths under torch.jit.trace, which would keep those of the example.
    """
    if process_group is not None:
        rest = (alpha, temperature, normalize, lengths, return_stats, process_group, ddp)
        return _among_processes(z1, z2, *rest, precision, backend)
    z1, z2 = _check_levels(z1, z2, alpha, temperature, lengths)
    products, name = precision_name(precision), backend_name(backend)
    if lengths is not None:
        if torch._C._get_tracing_state() is not None:
            raise NotImplementedError(
                "lengths: torch.jit.trace would keep those of the example; accepted: None, or "
                "torch.compile"
            )
        order = lengths.argsort(descending=True, stable=True)
        z1, z2, lengths = z1[order], z2[order], lengths[order]
    pyramid: list[operator.Level] = []
    if return_stats or isinstance(temperature, Tensor):
        pyramid = list(operator.levels(z1, z2, lengths, alpha))
    parts = [part for level in pyramid for part in operator.parts(level)]
    if isinstance(temperature, Tensor):
        losses = [
            p.weight * _grouped(p.z1, p.z2, temperature, normalize, p.lengths, products, name).sum()
            for p in parts
        ]
        # One step without an instance contrast has no part.
        none = agreement.nothing(z1, temperature) + agreement.nothing(z2)
        loss = torch.stack([none.to(spec.compute_dtype(z1.dtype)), *losses]).sum() / len(pyramid)
    else:
        loss = operator.hierarchical_nt_xent(
            z1, z2, lengths, alpha, temperature, normalize, products, name
        )
    if lengths is not None:
        loss = loss * _levels_over_those_with_steps(z1.shape[1], lengths, loss.dtype)
    if not return_stats:
        return loss
    groups = [(p.z1, p.z2, p.lengths) for p in parts]
    if not groups:
        groups = [(z1[:1], z2[:1], torch.zeros(1, dtype=torch.int64, device=z1.device))]
    return loss, _statistics(groups, temperature, normalize)


def _levels_over_those_with_steps(steps: int, lengths: Tensor, dtype: torch.dtype) -> Tensor:
    """Levels of the padded pyramid, by which the loss is divided, over those of the longest
    series."""
    levels = steps.bit_length()
    halvings = torch.arange(levels, device=lengths.device)
    return levels / (lengths.max() >> halvings > 0).sum().to(dtype)


def _check_levels(
    z1: Tensor,
    z2: Tensor,
    alpha: float,
    temperature: float | Tensor,
    lengths: Tensor | None,
    least: int = 1,
) -> Sequence[Tensor]:
    """The views, in one dtype. least: series."""
    views = _check_views(z1, z2, least)
    checks.at_least("alpha", alpha, 0.0)
    if alpha > 1:
        raise ValueError(f"alpha: {alpha}; accepted: a number in [0, 1]")
    arguments.check_temperature_value("temperature", temperature)
    if lengths is not None:
        _check_lengths(lengths, z1)
    return views


def _among_processes(
    z1: Tensor,
    z2: Tensor,
    alpha: float,
    temperature: float | Tensor,
    normalize: bool,
    lengths: Tensor | None,
    return_stats: bool,
    process_group: Group,
    ddp: bool,
    precision: str | None,
    backend: str | None,
) -> Loss:
    """The instance contrast between all series, whose gradient every process has, and the sum of
    the temporal contrasts."""

    def rows() -> Tensor:
        _check_levels(z1, z2, alpha, temperature, lengths, least=0)
        precision_name(precision)
        backend_name(backend)
        return torch.cat([z1, z2], dim=2)

    group = collectives.group_of(process_group)
    alike = (alpha, agreement.shown(temperature), normalize, precision, ddp, lengths is None)
    x, sizes = collectives.agree(
        rows, group, ("hierarchical_contrastive_loss", return_stats, *alike)
    )
    z1, z2 = checks.promoted(z1, z2)
    series = sum(sizes)
    if not series:
        raise ValueError("process_group: no series on any process; accepted: some on one")
    every = lengths
    if lengths is not None:
        every = torch.cat(collectives.gather(lengths, sizes, group))
    stats = None
    if return_stats:
        with torch.no_grad():
            views = torch.cat(collectives.gather(x, sizes, group)).chunk(2, dim=2)
            of_all: _Levels = {"temperature": temperature, "normalize": normalize}
            of_all |= {"alpha": alpha, "lengths": every, "backend": backend}
            stats = hierarchical_contrastive_loss(*views, return_stats=True, **of_all)[1]
    loss, world = x.new_zeros((), dtype=spec.compute_dtype(x.dtype)), len(sizes)
    if alpha:
        tau = temperature
        if isinstance(tau, Tensor) and not ddp:  # every process has the gradient of them all
            tau = tau.detach() + (tau - tau.detach()) / world
        views = torch.cat(collectives.gather_for_own(x, sizes, group, ddp=ddp)).chunk(2, dim=2)
        settings: _Grouped = {"temperature": tau, "normalize": normalize}
        settings |= {"precision": precision, "backend": backend}
        settings["lengths"] = every
        loss = alpha * hierarchical_contrastive_loss(views[0], views[1], alpha=1.0, **settings)
    if alpha < 1:
        share = agreement.nothing(x, temperature)
        pyramid = list(operator.levels(z1, z2, lengths, alpha))
        count = len(pyramid) if every is None else int(every.max()).bit_length()
        for level in pyramid if len(x) else ():
            steps = series * level.z1.shape[1] if every is None else int(every.sum())
            if level.temporal and steps:
                given = (level.z1, level.z2, temperature, normalize, level.lengths)
                found = _grouped(*given, precision_name(precision), backend_name(backend)).sum()
                share = share + found * (level.temporal / (2 * steps * count))
            every = None if every is None else every // 2
        loss = loss + collectives.total_of_shares(share, group, ddp=ddp)
    return loss if stats is None else (loss, stats)


@overload
def grouped_nt_xent_loss(
    z1: Tensor, z2: Tensor, *, return_stats: Off = ..., **options: Unpack[_Grouped]
) -> Tensor: ...
@overload
def grouped_nt_xent_loss(
    z1: Tensor, z2: Tensor, *, return_stats: On, **options: Unpack[_Grouped]
) -> tuple[Tensor, ContrastiveStats]: ...
@overload
def grouped_nt_xent_loss(
    z1: Tensor, z2: Tensor, *, return_stats: bool, **options: Unpack[_Grouped]
) -> Loss: ...
def grouped_nt_xent_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    lengths: Tensor | None = None,
    return_stats: bool = False,
    precision: str | None = None,
    backend: str | None = None,
) -> Loss:
    """G independent NT-Xent problems (see :func:`nt_xent_loss`), one thread each: (G, 2L) losses.

    Args:
        z1, z2: (G, L, D), two views of each problem's rows; any strides; dtypes as for
            :func:`nt_xent_loss`.
        temperature: tau > 0; a 0-d tensor gets its gradient.
        lengths: (G,) int64, rows of each problem, 1 to L; None: L. The 2 lengths[g] losses of
            problem g come first in its row (z1's rows, then z2's), zeros behind; rows beyond are
            not read and get zero gradient.
        return_stats: also a :class:`ContrastiveStats` of the pairs within the problems, one entry
            of log_sum_exp a valid row; one more pass in plain torch, which holds the 2L x 2L pairs
            of at least one problem.
        precision: as in :func:`nt_xent_loss`.
    """
    z1, z2 = _check_views(z1, z2)
    arguments.check_temperature_value("temperature", temperature)
    if lengths is not None:
        _check_lengths(lengths, z1)
    products, name = precision_name(precision), backend_name(backend)
    loss = _grouped(z1, z2, temperature, normalize, lengths, products, name)
    if not return_stats:
        return loss
    return loss, _statistics([(z1, z2, lengths)], temperature, normalize)


def _grouped(
    z1: Tensor,
    z2: Tensor,
    temperature: float | Tensor,
    normalize: bool,
    lengths: Tensor | None,
    precision: str,
    backend: str,
) -> Tensor:
    if isinstance(temperature, Tensor):
        # The rows carry it: their dot products over tau.
        z1, z2 = (embedded(z, None, normalize) for z in (z1, z2))
        root = temperature.to(z1.dtype).rsqrt()
        z1, z2, temperature, normalize = z1 * root, z2 * root, 1.0, False
    options = (temperature, normalize, precision, backend)
    loss: Tensor = grouped_nt_xent(z1, z2, lengths, *options)[0]
    return loss


@torch.no_grad()
def _statistics(
    groups: Iterable[tuple[Tensor, Tensor, Tensor | None]],
    temperature: float | Tensor,
    normalize: bool,
) -> ContrastiveStats:
    """Of the valid rows of all problems; groups: (z1, z2, lengths) each."""
    found = torch.cat([_rows(*group, temperature, normalize) for group in groups], dim=1)
    rows = Rows(found[0], found[1], found[2], statistics=RowStatistics(*found[4:]))
    return contrastive_stats(rows, TOP_K, normalize)


def _rows(
    z1: Tensor, z2: Tensor, lengths: Tensor | None, temperature: float | Tensor, normalize: bool
) -> Tensor:
    """definition.block_rows of every valid row."""
    count, length, _ = z1.shape
    step = torch.arange(2 * length, device=z1.device)
    valid = z1.new_ones((count, 2 * length), dtype=torch.bool)
    if lengths is not None:
        valid = step % length < lengths[:, None]
    partner = (step - step[:, None]).abs() == length
    other = (step != step[:, None]) & ~partner
    u = embedded(torch.cat([z1, z2], dim=1), valid, normalize)
    beta = inverse(temperature, u).to(u.dtype)
    problem = Problem(PLAIN, statistics=TOP_K)

    def of_problem(x: Tensor, flags: Tensor) -> Tensor:
        live = flags & flags[:, None]
        return block_rows(Block(x @ x.T, beta, None, live & partner, live & other, None), problem)

    at_once = max(1, spec.BLOCK_ELEMENTS // (2 * length) ** 2)
    with torch.autocast(device_type(z1), enabled=False):
        rows = torch.vmap(of_problem, chunk_size=at_once)(u, valid)
    return rows.movedim(1, 0)[:, valid]


def _check_views(z1: Tensor, z2: Tensor, least: int = 1) -> Sequence[Tensor]:
    for name, z in (("z1", z1), ("z2", z2)):
        checks.floating(name, z)
        if z.dim() != 3 or 0 in z.shape[1 - least :]:
            raise ValueError(
                f"{name}: shape {tuple(z.shape)}; accepted: three sizes, none of them 0"
            )
    return checks.alike(("z1", "z2"), (z1, z2))


def _check_lengths(lengths: Tensor, z: Tensor) -> None:
    if not isinstance(lengths, Tensor) or lengths.dtype != torch.int64:
        given = getattr(lengths, "dtype", type(lengths).__name__)
        raise TypeError(f"lengths: {given}; accepted: an int64 tensor")
    if tuple(lengths.shape) != (len(z),) or lengths.device != z.device:
        raise ValueError(
            f"lengths: shape {tuple(lengths.shape)} on {lengths.device}; "
            f"accepted: ({len(z)},) on {z.device}"
        )
    if bool((lengths < 1).any()) or bool((lengths > z.shape[1]).any()):
        raise ValueError(f"lengths: outside 1 to T = {z.shape[1]}")
