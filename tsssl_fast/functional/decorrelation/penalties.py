"""The terms of VICReg alone."""

from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.functional.decorrelation.arguments import check_views, sizes
from tsssl_fast.functional.decorrelation.vicreg import run_vicreg
from tsssl_fast.ops.decorrelation import spec
from tsssl_fast.ops.decorrelation.spec import VICRegSettings


def covariance_penalty(
    z: Tensor,
    *,
    correlation: bool = False,
    eps: float = spec.NORM_EPS,
    precision: str | None = None,
    backend: str | None = None,
) -> Tensor:
    """(1/D) sum over i != j of C_ij², C the unbiased covariance of z's columns.

    With `correlation`: (1/D²) sum of squared correlations; columns with norm below eps count as
    x / eps. Source: Bardes et al., ICLR 2022, equations 3 and 4; correlations: Lee and Aune, 2021.

    Args:
        z: (N, D) with N >= 2, or (N, ..., D), as for vicreg_loss.
        eps: > 0; used with `correlation`.
        precision: as for vicreg_loss.

    Returns and raises: as for vicreg_loss.
    """
    (z,) = check_views((z,), ("z",))
    _, dim = sizes(z)
    factor = 1.0 / (dim * dim) if correlation else 1.0 / dim
    eps = checks.positive("eps", eps)
    settings = VICRegSettings(0.0, 0.0, factor, 0.0, 0.0, 1.0, gamma=1.0, eps=1.0, norm_eps=eps)
    flags = spec.COVARIANCE | spec.CORRELATION if correlation else spec.COVARIANCE
    return run_vicreg((z,), settings, flags, precision, backend)[0]


def variance_penalty(
    z: Tensor, *, gamma: float = 1.0, eps: float = 1e-4, backend: str | None = None
) -> Tensor:
    """(1/D) sum_j max(0, gamma - sqrt(Var(z_j) + eps)), Var unbiased.

    Source: Bardes et al., ICLR 2022, equations 1 and 2.

    Args:
        z: (N, D) with N >= 2, or (N, ..., D), as for vicreg_loss.
        gamma, eps: > 0.

    Returns and raises: as for vicreg_loss.
    """
    (z,) = check_views((z,), ("z",))
    gamma, eps = checks.positive("gamma", gamma), checks.positive("eps", eps)
    _, dim = sizes(z)
    settings = VICRegSettings(0.0, 1.0 / dim, 0.0, 0.0, 1.0, 0.0, gamma=gamma, eps=eps)
    return run_vicreg((z,), settings, spec.VARIANCE, None, backend)[0]


def invariance_penalty(
    z1: Tensor, z2: Tensor, *more: Tensor, reduction: str = "mean", backend: str | None = None
) -> Tensor:
    """Mean over the pairs of views of ||z_a - z_b||² over N D ("mean"), or over N ("sum_dim").

    "mean" is what the published codes use; "sum_dim" is equation 5 of Bardes et al., ICLR 2022.

    Args:
        z1, z2, more: two or more (N, D) tensors, N >= 1, or (N, ..., D), alike in shape and device;
            dtypes as for vicreg_loss.

    Returns and raises: as for vicreg_loss.
    """
    views = check_views((z1, z2, *more), least=1)
    checks.choice("reduction", reduction, ("mean", "sum_dim"))
    (n, dim), count = sizes(views[0]), len(views)
    factor = 2.0 / (count * (count - 1) * n * (dim if reduction == "mean" else 1))
    settings = VICRegSettings(factor, 0.0, 0.0, 1.0, 0.0, 0.0, gamma=1.0, eps=1.0)
    return run_vicreg(views, settings, spec.INVARIANCE, None, backend)[0]
