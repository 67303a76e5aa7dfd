"""The decorrelation losses as functions; `tsssl_fast.functional` re-exports them.

Every function takes `backend=`: "reference", "cpp", "numba" or "triton"; None chooses the fastest
that can run the inputs (see tsssl_fast.explain). Where conventions differ between published codes,
each is a name; ops/decorrelation/README.md has the table.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.common import checks
from tsssl_fast.functional.collapse import CollapseReport, collapse_report, report_from_moments
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.operators import barlow_twins, vicreg

__all__ = [
    "BarlowTwinsTerms",
    "VICRegTerms",
    "barlow_twins_loss",
    "covariance_penalty",
    "invariance",
    "variance_penalty",
    "vicreg_loss",
]


class VICRegTerms(NamedTuple):
    """loss = sum of weight times term; each is a scalar and differentiable."""

    loss: Tensor
    invariance: Tensor
    variance: Tensor
    covariance: Tensor
    stats: tuple[CollapseReport, ...] | None = None


class BarlowTwinsTerms(NamedTuple):
    """loss = scale_loss (on_diagonal + lambd off_diagonal); each is a scalar and differentiable."""

    loss: Tensor
    on_diagonal: Tensor
    off_diagonal: Tensor
    stats: tuple[CollapseReport, ...] | None = None


def vicreg_loss(
    *views: Tensor,
    invariance_weight: float | None = None,
    variance_weight: float | None = None,
    covariance_weight: float | None = None,
    gamma: float = 1.0,
    eps: float = 1e-4,
    convention: str = "official",
    correlation: bool | None = None,
    return_terms: bool = False,
    return_stats: bool = False,
    backend: str | None = None,
) -> Tensor | VICRegTerms:
    """VICReg: views of a series agree, every dimension keeps its spread, dimensions do not repeat.

    For V views z_v of N series, with x the centred columns and C = xᵀx / (N - 1) of each view:
    invariance: mean over the pairs of views of ||z_a - z_b||² / (N D);
    variance: mean over the views of (1/D) sum_j max(0, gamma - sqrt(Var(z_j) + eps)), Var unbiased;
    covariance: twice the mean over the views of (1/D) sum over i != j of C_ij²;
    loss = 25 invariance + 25 variance + 1 covariance.
    Source: equations (12) to (16) of the SimCLR-TS report; Bardes et al., ICLR 2022, scaled as in
    its official code. `convention` names other scalings:
    "official", "lightly": as above; "document": equations (12) to (16) as printed (invariance over
    N alone, variance and covariance summed over two views, weights 1, 1, 1); "solo-learn": variance
    summed over two views; "vicregl": covariance averaged; "vibcreg": variance summed, covariance of
    columns of unit norm over D², weights 25, 25, 200.
    More than two views keep the scale of two.

    Args:
        views: two or more (N, D) tensors, N >= 2; float16, bfloat16, float32 or float64, alike in
            shape, dtype and device. Row i of all belongs to series i.
        invariance_weight, variance_weight, covariance_weight: >= 0; None takes the convention's.
        gamma: the standard deviation that the hinge keeps, > 0.
        eps: added to the variance, > 0; for `correlation` also the least norm of a column.
        correlation: penalise correlations instead of covariances (VIbCReg); None: the convention's.
        return_terms: return VICRegTerms with the unweighted terms.
        return_stats: the same, with one CollapseReport per view from the sums of this pass.
        backend: see the module.

    Returns:
        A scalar, or VICRegTerms; float32 for 16-bit inputs (the arithmetic is float32), else the
        inputs' dtype. Finite for a constant batch, whose variance gradient is zero.

    Raises:
        TypeError: an input is no floating tensor, dtypes differ, or a number is none.
        ValueError: fewer than two views, not (N, D), N < 2, shapes or devices differ, a weight
            negative, gamma or eps not positive, unknown convention or backend.
        BackendUnavailableError: the backend asked for can not run these inputs.
    """
    if len(views) < 2:
        raise ValueError(f"views: {len(views)}; accepted: two or more tensors (N, D)")
    _check_views(views)
    checks.choice("convention", convention, tuple(spec.VICREG))
    chosen = spec.VICREG[convention]
    given = (invariance_weight, variance_weight, covariance_weight)
    weights = [
        default if value is None else checks.non_negative(name, value)
        for name, value, default in zip(_WEIGHTS, given, chosen.weights, strict=True)
    ]
    gamma, eps = checks.positive("gamma", gamma), checks.positive("eps", eps)
    normalise = chosen.correlation if correlation is None else correlation
    n, dim = views[0].shape
    count = len(views)
    factors = [
        2.0 / (count * (count - 1) * n * (dim if chosen.invariance_over_dim else 1)),
        chosen.variance / (count * dim),
        chosen.covariance / (count * dim * (dim if normalise else 1)),
    ]
    wanted = return_terms or return_stats
    flags = spec.ALL_TERMS if wanted else _flags(weights)
    loss, terms, moments, square = _vicreg(
        views, [*factors, *weights, gamma, eps], flags | (spec.CORRELATION * normalise), backend
    )
    if not wanted:
        return loss
    stats = None
    if return_stats:
        mean, squares = moments.detach()[1 + 3 * count :].view(2, count, dim)
        stats = tuple(
            report_from_moments(
                views[v], mean[v], squares[v], None if normalise else square[v].detach()
            )
            for v in range(count)
        )
    invariance_term, variance_term, covariance_term = terms.unbind()
    return VICRegTerms(loss, invariance_term, variance_term, covariance_term, stats)


def barlow_twins_loss(
    z1: Tensor,
    z2: Tensor,
    lambd: float | None = None,
    *,
    scale_loss: float | None = None,
    convention: str = "official",
    center: bool | None = None,
    unbiased: bool | None = None,
    eps: float | None = None,
    return_terms: bool = False,
    return_stats: bool = False,
    backend: str | None = None,
) -> Tensor | BarlowTwinsTerms:
    """Barlow Twins: the cross-correlation of two views is the identity.

    With a, b the columns of z1, z2, centred and over sqrt(sum over the batch of squares / N + eps),
    and C = aᵀb / N: loss = scale_loss (sum_i (1 - C_ii)² + lambd sum over i != j of C_ij²).
    Source: equations (10) and (11) of the SimCLR-TS report; Zbontar et al., ICML 2021.
    `convention` sets what is not given, (lambd, center, unbiased, eps, scale_loss):
    "official" (0.0051, True, False, 1e-5, 1); "lightly" (0.005, True, False, 1e-5, 1);
    "solo-learn" (0.0051, True, False, 1e-5, 0.025);
    "stable-pretraining" (0.0051, True, True, 1e-12, 1);
    "document", equation (11) as printed, without centring (0.0051, False, False, 1e-12, 1).

    Args:
        z1, z2: (N, D) with N >= 2, as for vicreg_loss.
        lambd: weight of the off-diagonal sum, >= 0.
        scale_loss: > 0.
        center: subtract the columns' means.
        unbiased: N - 1 instead of N in the columns' mean squares (C stays over N).
        eps: added to the mean squares, > 0.
        return_terms, return_stats, backend: as for vicreg_loss.

    Returns and raises: as for vicreg_loss.
    """
    _check_views((z1, z2), ("z1", "z2"))
    checks.choice("convention", convention, tuple(spec.BARLOW_TWINS))
    chosen = spec.BARLOW_TWINS[convention]
    lambd = chosen.lambd if lambd is None else checks.non_negative("lambd", lambd)
    scale = chosen.scale_loss if scale_loss is None else checks.positive("scale_loss", scale_loss)
    eps = chosen.eps if eps is None else checks.positive("eps", eps)
    centered = chosen.center if center is None else center
    unbiased = chosen.unbiased if unbiased is None else unbiased
    loss, terms, moments, _ = barlow_twins.barlow_twins(
        *(z1, z2, [1.0, 1.0, scale, scale * lambd, eps]),
        *(spec.CENTER * centered | spec.UNBIASED * unbiased, _backend(backend)),
    )
    if not (return_terms or return_stats):
        return loss
    stats = None
    if return_stats:
        dim = z1.shape[1]
        mean, squares = moments.detach()[3 : 3 + 4 * dim].view(2, 2, dim)
        stats = tuple(
            report_from_moments(z, mean[v], squares[v], None) if centered else collapse_report(z)
            for v, z in enumerate((z1, z2))
        )
    on_diagonal, off_diagonal = terms.unbind()
    return BarlowTwinsTerms(loss, on_diagonal, off_diagonal, stats)


def covariance_penalty(
    z: Tensor, *, correlation: bool = False, eps: float = 1e-4, backend: str | None = None
) -> Tensor:
    """Equation (15): (1/D) sum over i != j of C_ij², C the unbiased covariance of z's columns.

    With `correlation` (VIbCReg): (1/D²) sum of squared correlations; columns with norm below
    eps count as x / eps.

    Args:
        z: (N, D) with N >= 2.
        eps: > 0; used with `correlation`.

    Returns and raises: as for vicreg_loss.
    """
    _check_views((z,), ("z",))
    dim = z.shape[1]
    factor = 1.0 / (dim * dim) if correlation else 1.0 / dim
    eps = checks.positive("eps", eps)
    return _term(z, spec.COVARIANCE, factor, 1.0, eps, correlation, backend)


def variance_penalty(
    z: Tensor, gamma: float = 1.0, eps: float = 1e-4, *, backend: str | None = None
) -> Tensor:
    """Equations (12), (13): (1/D) sum_j max(0, gamma - sqrt(Var(z_j) + eps)), Var unbiased.

    Args:
        z: (N, D) with N >= 2.
        gamma, eps: > 0.

    Returns and raises: as for vicreg_loss.
    """
    _check_views((z,), ("z",))
    gamma, eps = checks.positive("gamma", gamma), checks.positive("eps", eps)
    return _term(z, spec.VARIANCE, 1.0 / z.shape[1], gamma, eps, False, backend)


def invariance(*views: Tensor, reduction: str = "mean", backend: str | None = None) -> Tensor:
    """Mean over the pairs of views of ||z_a - z_b||² over N D ("mean"), or over N ("sum_dim").

    "mean" is what the published codes use; "sum_dim" is equation (14) as printed.

    Args:
        views: two or more (N, D) tensors, N >= 1, alike in shape, dtype and device.

    Returns and raises: as for vicreg_loss.
    """
    if len(views) < 2:
        raise ValueError(f"views: {len(views)}; accepted: two or more tensors (N, D)")
    _check_views(views, least=1)
    checks.choice("reduction", reduction, ("mean", "sum_dim"))
    n, dim = views[0].shape
    count = len(views)
    factor = 2.0 / (count * (count - 1) * n * (dim if reduction == "mean" else 1))
    settings = [factor, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    return _vicreg(views, settings, spec.INVARIANCE, backend)[0]


_PAIR = ("views[0]", "views[1]")
_WEIGHTS = ("invariance_weight", "variance_weight", "covariance_weight")


def _term(
    z: Tensor,
    part: int,
    factor: float,
    gamma: float,
    eps: float,
    correlation: bool,
    backend: str | None,
) -> Tensor:
    chosen = [float(part == p) for p in (spec.INVARIANCE, spec.VARIANCE, spec.COVARIANCE)]
    settings = [*(factor * c for c in chosen), *chosen, gamma, eps]
    return _vicreg((z,), settings, part | (spec.CORRELATION * correlation), backend)[0]


def _vicreg(
    views: tuple[Tensor, ...], settings: list[float], flags: int, backend: str | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if len(views) == 2:
        return vicreg.vicreg(*views, settings, flags, _backend(backend))
    return torch.ops.tsssl_fast.vicreg_views(views, settings, flags, _backend(backend))


def _flags(weights: list[float]) -> int:
    bits = (spec.INVARIANCE, spec.VARIANCE, spec.COVARIANCE)
    return sum(bit for bit, weight in zip(bits, weights, strict=True) if weight)


def _check_views(
    views: tuple[Tensor, ...], names: tuple[str, ...] | None = None, least: int = 2
) -> None:
    if names is None:  # the common case without the formatting: 1 microsecond
        names = _PAIR if len(views) == 2 else tuple(f"views[{v}]" for v in range(len(views)))
    for name, z in zip(names, views, strict=True):
        checks.matrix(name, z)
    checks.alike(names, views)
    if views[0].shape[0] < least:
        raise ValueError(
            f"{names[0]}: shape {tuple(views[0].shape)}; accepted: (N, D) with N >= 2 "
            "(the statistics of one row are undefined)"
        )


def _backend(name: str | None) -> str:
    return dispatch.check_name(name, "backend") if name else ""
