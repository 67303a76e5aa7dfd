"""`barlow_twins_loss`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict, overload

from torch import Tensor

from tsssl_fast.backends.precision import precision_name
from tsssl_fast.common import checks
from tsssl_fast.common.collectives import Group
from tsssl_fast.functional.collapse import CollapseReport, collapse_report, report_from_moments
from tsssl_fast.functional.decorrelation.arguments import (
    backend_name,
    check_views,
    convention_of,
    graph_is_made,
    in_graph,
)
from tsssl_fast.functional.decorrelation.processes import views_of_all
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.operators import barlow_twins
from tsssl_fast.ops.decorrelation.spec import BarlowTwinsMoments, BarlowTwinsSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack


class BarlowTwinsTerms(NamedTuple):
    """loss = scale_loss (on_diagonal + lambd off_diagonal); each is a scalar and differentiable."""

    loss: Tensor
    on_diagonal: Tensor
    off_diagonal: Tensor
    stats: tuple[CollapseReport, ...] | None = None


class BarlowTwinsOptions(TypedDict, total=False):
    """What barlow_twins_loss takes beside the views and what it returns."""

    lambd: float | None
    scale_loss: float | None
    convention: str
    center: bool | None
    unbiased: bool | None
    eps: float | None
    precision: str | None
    process_group: Group
    ddp: bool
    backend: str | None


@overload
def barlow_twins_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    return_terms: Literal[False] = ...,
    return_stats: Literal[False] = ...,
    **options: Unpack[BarlowTwinsOptions],
) -> Tensor: ...
@overload
def barlow_twins_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    return_terms: Literal[True],
    return_stats: bool = ...,
    **options: Unpack[BarlowTwinsOptions],
) -> BarlowTwinsTerms: ...
@overload
def barlow_twins_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    return_terms: bool = ...,
    return_stats: Literal[True],
    **options: Unpack[BarlowTwinsOptions],
) -> BarlowTwinsTerms: ...
@overload
def barlow_twins_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    return_terms: bool = ...,
    return_stats: bool = ...,
    **options: Unpack[BarlowTwinsOptions],
) -> Tensor | BarlowTwinsTerms: ...
def barlow_twins_loss(
    z1: Tensor,
    z2: Tensor,
    *,
    lambd: float | None = None,
    scale_loss: float | None = None,
    convention: str = "official",
    center: bool | None = None,
    unbiased: bool | None = None,
    eps: float | None = None,
    return_terms: bool = False,
    return_stats: bool = False,
    precision: str | None = None,
    process_group: Group = None,
    ddp: bool = True,
    backend: str | None = None,
) -> Tensor | BarlowTwinsTerms:
    """Barlow Twins: the cross-correlation of two views is the identity.

    With a, b the columns of z1, z2, centred and over sqrt(sum over the batch of squares / N + eps),
    and C = aᵀb / N: loss = scale_loss (sum_i (1 - C_ii)² + lambd sum over i != j of C_ij²).
    Source: Zbontar et al., "Barlow Twins", ICML 2021, equations 1 and 2, columns standardised as in
    its official code. `convention` sets what is not given, (lambd, center, unbiased, eps,
    scale_loss):
    "official" (0.0051, True, False, 1e-5, 1); "lightly" (0.005, True, False, 1e-5, 1);
    "solo-learn" (0.005, True, False, 1e-5, 0.025), the defaults of the library's function; those of
    its training method are lambd=0.0051 and scale_loss=0.024;
    "stable-pretraining" (0.0051, True, True, 1e-12, 1);
    "uncentered", equation 2 as printed, cosines of the columns as they are
    (0.0051, False, False, 1e-12, 1).

    Args:
        z1, z2: (N, D) with N >= 2, or (N, ..., D), as for vicreg_loss.
        lambd: weight of the off-diagonal sum, >= 0.
        scale_loss: > 0.
        center: subtract the columns' means.
        unbiased: N - 1 instead of N in the columns' mean squares (C stays over N).
        eps: added to the mean squares, > 0.
        return_terms, return_stats, precision, process_group, ddp, backend: as for vicreg_loss.

    Returns and raises: as for vicreg_loss.
    """
    if process_group is not None:
        options = {
            **{"lambd": lambd, "scale_loss": scale_loss, "convention": convention, "eps": eps},
            **{"center": center, "unbiased": unbiased},
        }
        z1, z2 = views_of_all("barlow_twins_loss", (z1, z2), process_group, ddp, options)
    z1, z2 = check_views((z1, z2))
    chosen = barlow_twins_convention(convention, lambd, scale_loss, center, unbiased, eps)
    settings = BarlowTwinsSettings(
        1.0, 1.0, chosen.scale_loss, chosen.scale_loss * chosen.lambd, chosen.eps
    )
    flags = spec.CENTER if chosen.center else 0
    if chosen.unbiased:
        flags |= spec.UNBIASED
    products, name = precision_name(precision), backend_name(backend)
    operator, given = barlow_twins.barlow_twins, (z1, z2, settings, flags, products, name)
    results = in_graph(operator, *given) if graph_is_made() else operator(*given)
    loss, terms, moments, *_ = results
    if not (return_terms or return_stats):
        return loss
    on_diagonal, off_diagonal = terms.unbind()
    stats = None
    if return_stats:
        parts = BarlowTwinsMoments.of(moments.detach(), z1.shape[1])
        stats = tuple(
            report_from_moments(z, parts.mean[v], parts.squares[v], None)
            if chosen.center
            else collapse_report(z)
            for v, z in enumerate((z1, z2))
        )
    return BarlowTwinsTerms(loss, on_diagonal, off_diagonal, stats)


def barlow_twins_convention(
    convention: str,
    lambd: float | None,
    scale_loss: float | None,
    center: bool | None,
    unbiased: bool | None,
    eps: float | None,
) -> spec.BarlowTwinsConvention:
    """The convention of a name with what is given in the place of its own; checked."""
    chosen = convention_of(convention, spec.BARLOW_TWINS, spec.RENAMED_BARLOW_TWINS)
    return spec.BarlowTwinsConvention(
        lambd=chosen.lambd if lambd is None else checks.non_negative("lambd", lambd),
        center=chosen.center if center is None else center,
        unbiased=chosen.unbiased if unbiased is None else unbiased,
        eps=chosen.eps if eps is None else checks.positive("eps", eps),
        scale_loss=chosen.scale_loss
        if scale_loss is None
        else checks.positive("scale_loss", scale_loss),
    )
