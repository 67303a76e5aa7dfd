"""`vicreg_loss`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, overload

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.backends.precision import precision_name
from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.collapse import CollapseReport, report_from_moments
from tsssl_fast.functional.decorrelation.arguments import (
    backend_name,
    check_views,
    convention_of,
    graph_is_made,
    in_graph,
    sizes,
)
from tsssl_fast.functional.decorrelation.processes import views_of_all
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.operators import vicreg
from tsssl_fast.ops.decorrelation.spec import VICRegMoments, VICRegSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack

_BITS = (spec.INVARIANCE, spec.VARIANCE, spec.COVARIANCE)


class VICRegTerms(NamedTuple):
    """loss = sum of weight times term; each is a scalar and differentiable."""

    loss: Tensor
    invariance: Tensor
    variance: Tensor
    covariance: Tensor
    stats: tuple[CollapseReport, ...] | None = None


class VICRegOptions(TypedDict, total=False):
    """What vicreg_loss takes beside the views and what it returns."""

    invariance_weight: float | None
    variance_weight: float | None
    covariance_weight: float | None
    gamma: float
    eps: float
    norm_eps: float
    convention: str
    correlation: bool | None
    precision: str | None
    process_group: Group
    ddp: bool
    backend: str | None


@overload
def vicreg_loss(
    z1: Tensor,
    z2: Tensor,
    *more: Tensor,
    return_terms: Literal[False] = ...,
    return_stats: Literal[False] = ...,
    **options: Unpack[VICRegOptions],
) -> Tensor: ...
@overload
def vicreg_loss(
    z1: Tensor,
    z2: Tensor,
    *more: Tensor,
    return_terms: Literal[True],
    return_stats: bool = ...,
    **options: Unpack[VICRegOptions],
) -> VICRegTerms: ...
@overload
def vicreg_loss(
    z1: Tensor,
    z2: Tensor,
    *more: Tensor,
    return_terms: bool = ...,
    return_stats: Literal[True],
    **options: Unpack[VICRegOptions],
) -> VICRegTerms: ...
@overload
def vicreg_loss(
    z1: Tensor,
    z2: Tensor,
    *more: Tensor,
    return_terms: bool = ...,
    return_stats: bool = ...,
    **options: Unpack[VICRegOptions],
) -> Tensor | VICRegTerms: ...
def vicreg_loss(
    z1: Tensor,
    z2: Tensor,
    *more: Tensor,
    invariance_weight: float | None = None,
    variance_weight: float | None = None,
    covariance_weight: float | None = None,
    gamma: float = 1.0,
    eps: float = 1e-4,
    norm_eps: float = spec.NORM_EPS,
    convention: str = "official",
    correlation: bool | None = None,
    return_terms: bool = False,
    return_stats: bool = False,
    precision: str | None = None,
    process_group: Group = None,
    ddp: bool = True,
    backend: str | None = None,
) -> Tensor | VICRegTerms:
    """VICReg: views of a series agree, every dimension keeps its spread, dimensions do not repeat.

    For V views z_v of N series, with x the centred columns and C = xᵀx / (N - 1) of each view:
    invariance: mean over the pairs of views of ||z_a - z_b||² / (N D);
    variance: mean over the views of (1/D) sum_j max(0, gamma - sqrt(Var(z_j) + eps)), Var unbiased;
    covariance: twice the mean over the views of (1/D) sum over i != j of C_ij²;
    loss = 25 invariance + 25 variance + 1 covariance.
    Source: Bardes et al., "VICReg", ICLR 2022, equations 1 to 6, scaled as in its official code.
    `convention` names other scalings:
    "official", "lightly": as above; "unit-weights": equations 1 to 6 as printed (invariance over N
    alone, variance and covariance summed over two views) with weights 1, 1, 1; "solo-learn":
    variance summed over two views; "vicregl" (Bardes et al., NeurIPS 2022): covariance averaged;
    "vibcreg" (Lee and Aune, 2021, arXiv:2109.00783): variance summed, covariance of columns of unit
    norm over D², weights 25, 25, 200.
    More than two views keep the scale of two.

    Args:
        z1, z2, more: two or more views, (N, D) with N >= 2; float16, bfloat16, float32 or float64,
            alike in shape and device. Row i of all belongs to series i. (N, ..., D), such as a
            vector for each step (N, T, D), are N ... rows of D: every leading dimension is one of
            samples. Views stacked in z (N, V, D) are vicreg_loss(*z.unbind(1)). Of several dtypes
            the loss is that of all in torch.promote_types of them.
        invariance_weight, variance_weight, covariance_weight: >= 0; None takes the convention's.
        gamma: the standard deviation that the hinge keeps, > 0.
        eps: added to the variance, > 0.
        norm_eps: the least norm of a column for `correlation`, > 0; its gradient is that of
            x / norm_eps below.
        correlation: penalise correlations instead of covariances (VIbCReg); None: the convention's.
        return_terms: return VICRegTerms with the unweighted terms.
        return_stats: the same, with one CollapseReport per view from the sums of this pass.
        precision: the largest error allowed in products of float32 numbers, as for
            :func:`tsssl_fast.functional.nt_xent_loss`; None: torch's setting.
        process_group: of torch.distributed, or "world": the loss of the rows of all its processes,
            of which every process computes the statistics; N may differ between them, and be 0.
            Every process must call the loss. None: this process alone. See docs/processes.md.
        ddp: with process_group, the backward is scaled for DistributedDataParallel, whose mean of
            gradients is then that of the whole batch; False: for who sums gradients.
        backend: see the module.

    Returns:
        A scalar, or VICRegTerms; float32 for 16-bit inputs (the arithmetic is float32), else the
        inputs' dtype. Each input gets its gradient in its own shape and dtype. Finite for a
        constant batch, whose variance gradient is zero.

    Raises:
        TypeError: an input is no floating tensor, or a number is none.
        ValueError: not (N, ..., D), fewer than two rows, shapes or devices differ, a weight
            negative, gamma, eps or norm_eps not positive, unknown convention, precision or backend.
            With process_group: on every process, where one's views are wrong, or columns, dtypes or
            options differ between processes; where torch.distributed is not initialised.
        BackendUnavailableError: the backend asked for can not run these inputs.
    """
    views = (z1, z2, *more)
    if process_group is not None:
        options = {
            **{"invariance": invariance_weight, "variance": variance_weight, "gamma": gamma},
            **{"covariance": covariance_weight, "convention": convention, "eps": eps},
            **{"correlation": correlation, "norm_eps": norm_eps},
        }
        views = views_of_all("vicreg_loss", views, process_group, ddp, options)
        z1, z2, *more = views  # type: ignore[assignment]  # a list for a tuple
    # What is right passes without a call, as in nt_xent_loss.
    if not (
        type(z1) is type(z2) is Tensor
        and not more
        and z1.dim() == 2
        and z1.shape == z2.shape
        and z1.dtype == z2.dtype
        and z1.dtype in checks.FLOATING
        and z1.device == z2.device
        and z1.layout == z2.layout == torch.strided
        and len(z1) > 1
        and z1.numel()
    ):
        views = check_views(views)
        z1 = views[0]
    wanted = return_terms or return_stats
    # graph_is_made(), without a call.
    graph = torch.compiler.is_compiling() or torch._C._get_tracing_state()
    shape = sizes(z1) if graph else z1.shape
    chosen = (
        *(convention, invariance_weight, variance_weight, covariance_weight),
        *(gamma, eps, norm_eps, correlation, wanted, len(views), shape),
    )
    choose = _settings if graph else _remembered
    try:
        found = choose(*chosen)
    except TypeError:  # no key of a dictionary, or no number: told below
        found = None
    settings, flags = found or _settings(*chosen)
    operator = vicreg.vicreg_views if more else vicreg.vicreg
    name = dispatch.check_name(backend, "backend") if backend else ""
    products = "" if precision is None else precision_name(precision)
    given = (*views, settings, flags, products, name)
    results = in_graph(operator, *given) if graph else operator(*given)
    loss, terms, moments, second_moments, _ = results
    if not wanted:
        return loss
    invariance, variance, covariance = terms.unbind()
    stats = None
    if return_stats:
        parts = VICRegMoments.of(moments.detach(), len(views), z1.shape[1])
        normalised = flags & spec.CORRELATION
        second = [None] * len(views) if normalised else second_moments.detach().unbind()
        stats = tuple(map(report_from_moments, views, parts.mean, parts.squares, second))
    return VICRegTerms(loss, invariance, variance, covariance, stats)


def vicreg_convention(
    convention: str,
    invariance_weight: float | None,
    variance_weight: float | None,
    covariance_weight: float | None,
) -> tuple[spec.VICRegConvention, tuple[float, float, float]]:
    """The convention of a name and the three weights, its own where none is given; checked."""
    chosen = convention_of(convention, spec.VICREG, spec.RENAMED_VICREG)
    invariance, variance, covariance = chosen.weights
    if invariance_weight is not None:
        invariance = checks.non_negative("invariance_weight", invariance_weight)
    if variance_weight is not None:
        variance = checks.non_negative("variance_weight", variance_weight)
    if covariance_weight is not None:
        covariance = checks.non_negative("covariance_weight", covariance_weight)
    return chosen, (invariance, variance, covariance)


def _settings(
    convention: str,
    invariance_weight: float | None,
    variance_weight: float | None,
    covariance_weight: float | None,
    gamma: float,
    eps: float,
    norm_eps: float,
    correlation: bool | None,
    all_terms: bool,
    count: int,
    shape: Any,
) -> tuple[VICRegSettings, int]:
    """The operator's settings and flags, checked."""
    chosen, given = vicreg_convention(
        convention, invariance_weight, variance_weight, covariance_weight
    )
    gamma, eps = checks.positive("gamma", gamma), checks.positive("eps", eps)
    norm_eps = checks.positive("norm_eps", norm_eps)
    normalised = chosen.correlation if correlation is None else correlation
    (n, dim), flags = shape, spec.CORRELATION if normalised else 0
    for bit, weight in zip(_BITS, given, strict=True):
        if weight or all_terms:
            flags |= bit
    settings = VICRegSettings(
        2.0 / (count * (count - 1) * n * (dim if chosen.invariance_over_dim else 1)),
        chosen.variance / (count * dim),
        chosen.covariance / (count * dim * (dim if normalised else 1)),
        *given,
        gamma,
        eps,
        norm_eps,
    )
    return settings, flags


_remembered = functools.lru_cache(256, typed=True)(_settings)


def run_vicreg(
    views: tuple[Tensor, ...],
    settings: VICRegSettings,
    flags: int,
    precision: str | None,
    backend: str | None,
) -> tuple[Tensor, ...]:
    operator = vicreg.vicreg if len(views) == 2 else vicreg.vicreg_views
    products, name = precision_name(precision), backend_name(backend)
    given = (*views, settings, flags, products, name)
    return in_graph(operator, *given) if graph_is_made() else operator(*given)
