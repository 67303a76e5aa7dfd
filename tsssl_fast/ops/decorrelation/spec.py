"""The contract of the decorrelation family: dtypes, tolerances, the names and order of what the
operators take and save, published conventions.

Every backend takes every convention and every dtype of DTYPES; others, and devices that a backend
is not made for, are declined with a reason.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tsssl_fast.common.dtypes import compute_dtype as compute_dtype

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# A kernel passes where its error against the float64 reference is at most ERROR_FACTOR times the
# error of the reference in the kernel's own arithmetic on the same input, plus one ulp of the
# result's largest element (values: the loss; gradients: of the largest component).
ERROR_FACTOR = 2.0

# bfloat16 and float16 views have that rule for loss, terms and statistics. The mean error of their
# gradients before the last rounding is at most this many ulps of their dtype, of the mean element.
GRADIENT_ULPS = 0.25

# Largest sum_j C_jj^2 / sum_{i != j} C_ij^2 of a float32 view on the n side: their difference is
# the penalty, and beyond this ratio the view is taken again in float64.
MAX_CANCELLATION = 8

# The least norm of a column whose correlations are taken: the default of
# torch.nn.functional.normalize, which the published code calls.
NORM_EPS = 1e-12


# An operator's kernel and the one of its backward; those of `vicreg_views` are vicreg's.
OPERATORS = tuple(
    name + backward
    for name in ("vicreg", "vicreg_views", "barlow_twins")
    for backward in ("", "_backward")
)

# Of (number of views, n, dim, flags): how many moments are saved, the shape of second_moments.
Sizes = Callable[[int, int, int, int], tuple[int, tuple[int, ...]]]


def with_views(kernels: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The kernels of all OPERATORS."""
    return {op: kernels[op.replace("_views", "")] for op in OPERATORS}


class Outputs(NamedTuple):
    """What the forward operators return.

    loss: scalar; terms: its unweighted parts, in the order of the settings' weights; moments and
    second_moments: saved for the backward (VICRegMoments, BarlowTwinsMoments), without gradients.
    """

    loss: Tensor
    terms: Tensor
    moments: Tensor
    second_moments: Tensor


class VICRegSettings(NamedTuple):
    """The numbers of the operators `vicreg` and `vicreg_views`, in the order of their `settings`.

    term = factor times raw sum; loss = sum of weight times term; a weight of 0 switches its term
    off, whatever its value.
    """

    invariance_factor: float
    variance_factor: float
    covariance_factor: float
    invariance_weight: float
    variance_weight: float
    covariance_weight: float
    gamma: float
    eps: float
    norm_eps: float = NORM_EPS

    @property
    def factors(self) -> tuple[float, ...]:
        return self[:3]

    @property
    def weights(self) -> tuple[float, ...]:
        return self[3:6]

    @property
    def others(self) -> tuple[float, ...]:
        return self[6:]


class BarlowTwinsSettings(NamedTuple):
    """The numbers of the operator `barlow_twins`, in the order of its `settings`."""

    on_diagonal_factor: float
    off_diagonal_factor: float
    on_diagonal_weight: float
    off_diagonal_weight: float
    eps: float

    @property
    def factors(self) -> tuple[float, ...]:
        return self[:2]

    @property
    def weights(self) -> tuple[float, ...]:
        return self[2:4]

    @property
    def others(self) -> tuple[float, ...]:
        return self[4:]


# Flags of the operators; plain integers once they are combined: an IntFlag costs a microsecond.


class VICRegFlag(IntEnum):
    """The terms that are computed; second moments of columns of unit norm (VIbCReg)."""

    INVARIANCE = 1
    VARIANCE = 2
    COVARIANCE = 4
    CORRELATION = 8


class BarlowTwinsFlag(IntEnum):
    """Columns are centred; mean squares over N - 1."""

    CENTER = 1
    UNBIASED = 2


INVARIANCE, VARIANCE, COVARIANCE, CORRELATION = map(int, VICRegFlag)
ALL_TERMS = INVARIANCE | VARIANCE | COVARIANCE
CENTER, UNBIASED = map(int, BarlowTwinsFlag)


def gram(n: int, dim: int) -> bool:
    """Whether second moments are taken as n x n Gram matrices instead of dim x dim covariances.

    Not at n = dim, where the cost is the same: between 0.8 dim and dim the penalty of decorrelated
    columns is a small difference of large sums on the n side, and none on the other.
    """
    return 5 * n <= 4 * dim


def side(n: int, dim: int) -> int:
    return n if gram(n, dim) else dim


def cancels_in_float32(n: int, dim: int, dtype: torch.dtype) -> bool:
    """Whether MAX_CANCELLATION can matter to views of this shape and dtype."""
    return gram(n, dim) and compute_dtype(dtype) == torch.float32


def second_moments(views: int, n: int, dim: int) -> tuple[int, int, int]:
    """Shape of the second moments that are saved."""
    m = side(n, dim)
    return views, m, m


class VICRegMoments(NamedTuple):
    """The float64 vector `moments` of VICReg by parts, in its order; views of it.

    distance (1,): the sum over pairs of views of ||z_a - z_b||²; hinge, off_diagonal, diagonal
    (views,): the raw sums of every view; mean, squares (views, D): of every column, squares around
    the mean. With C the second moments: off_diagonal = sum_{i != j} C_ij², diagonal = sum_j C_jj².
    """

    distance: Any
    hinge: Any
    off_diagonal: Any
    diagonal: Any
    mean: Any
    squares: Any

    @classmethod
    def of(cls, moments: Any, views: int, dim: int) -> "VICRegMoments":
        sums = moments[1 : 1 + 3 * views].reshape(3, views)
        columns = moments[1 + 3 * views :].reshape(2, views, dim)
        return cls(moments[:1], sums[0], sums[1], sums[2], columns[0], columns[1])

    @staticmethod
    def sums(moments: Any, views: int) -> Any:
        """(1 + 2 views,): what the terms are made of: distance, hinge, off_diagonal."""
        return moments[: 1 + 2 * views]

    @staticmethod
    def sizes(views: int, n: int, dim: int, flags: int) -> tuple[int, tuple[int, ...]]:
        shape = second_moments(views, n, dim) if flags & COVARIANCE else (0,)
        return 1 + 3 * views + 2 * views * dim, shape


class BarlowTwinsMoments(NamedTuple):
    """The float64 vector `moments` of Barlow Twins by parts, in its order; views of it.

    on_diagonal, off_diagonal, diagonal: 0-d, sum_j (1 - C_jj)², sum_{i != j} C_ij², sum_j C_jj²;
    mean, squares (2, D): of every column of either view; product (D,): the sum over the batch of
    the centred a_j b_j.
    """

    on_diagonal: Any
    off_diagonal: Any
    diagonal: Any
    mean: Any
    squares: Any
    product: Any

    @classmethod
    def of(cls, moments: Any, dim: int) -> "BarlowTwinsMoments":
        columns = moments[3:].reshape(5, dim)
        return cls(moments[0], moments[1], moments[2], columns[:2], columns[2:4], columns[4])

    @staticmethod
    def sums(moments: Any, views: int) -> Any:
        """(2,): what the terms are made of: on_diagonal, off_diagonal."""
        return moments[:2]

    @staticmethod
    def sizes(views: int, n: int, dim: int, flags: int) -> tuple[int, tuple[int, ...]]:
        return 3 + 5 * dim, second_moments(views, n, dim)


class VICRegConvention(NamedTuple):
    """How published codes scale the three terms; V views, n x d.

    invariance_over_dim: squared distances over n d instead of n.
    variance, covariance: times the mean over the views of the hinge's mean over dimensions, of the
        sum over i != j of C_ij^2 over d (`correlation`: over d^2, columns of unit norm).
    weights: defaults of invariance, variance, covariance.
    """

    invariance_over_dim: bool
    variance: float
    covariance: float
    weights: tuple[float, float, float]
    correlation: bool = False


VICREG = {
    "official": VICRegConvention(True, 1.0, 2.0, (25.0, 25.0, 1.0)),
    "unit-weights": VICRegConvention(False, 2.0, 2.0, (1.0, 1.0, 1.0)),
    "lightly": VICRegConvention(True, 1.0, 2.0, (25.0, 25.0, 1.0)),
    "solo-learn": VICRegConvention(True, 2.0, 2.0, (25.0, 25.0, 1.0)),
    "vicregl": VICRegConvention(True, 1.0, 1.0, (25.0, 25.0, 1.0)),
    "vibcreg": VICRegConvention(True, 2.0, 2.0, (25.0, 25.0, 200.0), correlation=True),
}


class BarlowTwinsConvention(NamedTuple):
    """How published codes standardise the columns and scale the loss."""

    lambd: float
    center: bool
    unbiased: bool
    eps: float
    scale_loss: float


BARLOW_TWINS = {
    "official": BarlowTwinsConvention(0.0051, True, False, 1e-5, 1.0),
    "uncentered": BarlowTwinsConvention(0.0051, False, False, 1e-12, 1.0),
    "lightly": BarlowTwinsConvention(0.005, True, False, 1e-5, 1.0),
    "solo-learn": BarlowTwinsConvention(0.005, True, False, 1e-5, 0.025),
    "stable-pretraining": BarlowTwinsConvention(0.0051, True, True, 1e-12, 1.0),
}

# Names of older versions, refused with the new one until 0.3.
RENAMED_VICREG = {"document": "unit-weights"}
RENAMED_BARLOW_TWINS = {"document": "uncentered"}
