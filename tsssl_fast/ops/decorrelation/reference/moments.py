"""Second moments in plain torch, which both losses share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tsssl_fast.backends.precision import product
from tsssl_fast.ops.decorrelation import spec


def off_diagonal(matrix: Tensor) -> Tensor:
    return matrix - torch.diag(matrix.diagonal())


def _columns(z: Tensor, correlation: bool, norm_eps: float) -> Tensor:
    x = z - z.mean(dim=0)
    return torch.nn.functional.normalize(x, dim=0, eps=norm_eps) if correlation else x


def _pairs(views: Sequence[Tensor]) -> Tensor:
    total = views[0].new_zeros(())
    for a, first in enumerate(views):
        for second in views[a + 1 :]:
            total = total + (first - second).square().sum()
    return total


def second_moments(z: Tensor, norm_eps: float, correlation: bool) -> Tensor:
    x = _columns(z, correlation, norm_eps)
    c = product(x.T, x)
    return c if correlation else c / (len(z) - 1)


def _off(z: Tensor, norm_eps: float, correlation: bool) -> Tensor:
    return off_diagonal(second_moments(z, norm_eps, correlation)).square().sum()


def smaller_side(left: Tensor, right: Tensor) -> Tensor:
    """The second moments on the smaller side, which are saved for the backward."""
    gram = spec.gram(*left.shape)
    return product(right, right.T) if gram else product(right.T, left)
