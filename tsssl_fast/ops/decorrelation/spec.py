"""The contract of the decorrelation family: dtypes, tolerances, conventions, what is saved.

`reference`, `cpp` and `numba` take every convention and every dtype of DTYPES; others, and other
devices than the CPU for the latter two, are declined with a reason.
"""

from dataclasses import dataclass

import torch

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# A kernel passes where its error against the float64 reference is at most ERROR_FACTOR times the
# error of the reference in the kernel's own arithmetic on the same input, plus one ulp of the
# result's largest element (values: the loss; gradients: of the largest component).
ERROR_FACTOR = 2.0

# Settings of the operators, in one list of numbers: for each term a factor of its raw sum, then for
# each term its weight in the loss, then
#   VICReg (invariance, variance, covariance): gamma, eps;
#   Barlow Twins (on, off the diagonal): eps.
# Flags of VICReg: the terms that are computed; second moments of columns of unit norm (VIbCReg).
INVARIANCE, VARIANCE, COVARIANCE, CORRELATION = 1, 2, 4, 8
ALL_TERMS = INVARIANCE | VARIANCE | COVARIANCE
# Flags of Barlow Twins: columns are centred; mean squares over N - 1.
CENTER, UNBIASED = 1, 2


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The arithmetic, and the dtype of the loss: float32 for 16-bit inputs, else their own."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def gram(n: int, dim: int) -> bool:
    """Whether second moments are taken as n x n Gram matrices instead of dim x dim covariances.

    Not at n = dim, where the cost is the same: between 0.8 dim and dim the penalty of decorrelated
    columns is a small difference of large sums on the n side, and none on the other.
    """
    return 5 * n <= 4 * dim


def side(n: int, dim: int) -> int:
    return n if gram(n, dim) else dim


def vicreg_moments(views: int, dim: int) -> int:
    """Length of the float64 vector that VICReg saves:

    [pairs, hinge per view, off per view, diagonal per view, mean (views, D), SS (views, D)], see
    csrc/include/tsssl/decorrelation.h.
    """
    return 1 + 3 * views + 2 * views * dim


def barlow_moments(dim: int) -> int:
    """[on, off, diagonal, mean (2, D), SS (2, D), sum over the batch of a_j b_j (D)]."""
    return 3 + 5 * dim


@dataclass(frozen=True)
class VICRegConvention:
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
    "document": VICRegConvention(False, 2.0, 2.0, (1.0, 1.0, 1.0)),
    "lightly": VICRegConvention(True, 1.0, 2.0, (25.0, 25.0, 1.0)),
    "solo-learn": VICRegConvention(True, 2.0, 2.0, (25.0, 25.0, 1.0)),
    "vicregl": VICRegConvention(True, 1.0, 1.0, (25.0, 25.0, 1.0)),
    "vibcreg": VICRegConvention(True, 2.0, 2.0, (25.0, 25.0, 200.0), correlation=True),
}


@dataclass(frozen=True)
class BarlowConvention:
    """How published codes standardise the columns and scale the loss."""

    lambd: float
    center: bool
    unbiased: bool
    eps: float
    scale_loss: float


BARLOW = {
    "official": BarlowConvention(0.0051, True, False, 1e-5, 1.0),
    "document": BarlowConvention(0.0051, False, False, 1e-12, 1.0),
    "lightly": BarlowConvention(0.005, True, False, 1e-5, 1.0),
    "solo-learn": BarlowConvention(0.0051, True, False, 1e-5, 0.025),
    "stable-pretraining": BarlowConvention(0.0051, True, True, 1e-12, 1.0),
}
