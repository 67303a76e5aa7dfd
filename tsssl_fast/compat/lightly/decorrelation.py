"""Losses of a batch's statistics: VICReg, Barlow Twins."""

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from tsssl_fast import functional
from tsssl_fast.common import checks, collectives
from tsssl_fast.compat._shared import need_distributed, promoted, result, widened

__all__ = ["BarlowTwinsLoss", "VICRegLoss"]


class VICRegLoss(nn.Module):
    """VICReg (Bardes et al., ICLR 2022); see :func:`tsssl_fast.functional.vicreg_loss`.

    Args:
        lambda_param, mu_param, nu_param: >= 0, of invariance, variance and covariance.
        gather_distributed: variance and covariance are of the rows of all processes.
        eps: added to the variance.

    forward(z_a, z_b): (N, ..., D), N >= 2 -> scalar in the inputs' dtype; of inputs with more than
    two dimensions the mean over the positions between.
    """

    def __init__(
        self,
        lambda_param: float = 25.0,
        mu_param: float = 25.0,
        nu_param: float = 1.0,
        gather_distributed: bool = False,
        eps: float = 0.0001,
    ) -> None:
        super().__init__()
        need_distributed("gather_distributed", gather_distributed)
        self.lambda_param = checks.non_negative("lambda_param", lambda_param)
        self.mu_param = checks.non_negative("mu_param", mu_param)
        self.nu_param = checks.non_negative("nu_param", nu_param)
        self.gather_distributed = gather_distributed
        self.eps = eps

    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        _check_views(z_a, z_b)
        z_a, z_b = promoted(z_a, z_b)
        if z_a.dim() == 2:
            return result(self._of_rows(z_a, z_b), z_a)
        positions = zip(*(z.flatten(1, -2).unbind(1) for z in (z_a, z_b)), strict=True)
        return result(torch.stack([self._of_rows(a, b) for a, b in positions]).mean(), z_a)

    def _of_rows(self, a: Tensor, b: Tensor) -> Tensor:
        if not (self.gather_distributed and collectives.world_size() > 1):
            return self._weighted(a, b, self.lambda_param, self.mu_param, self.nu_param)
        invariance = self._weighted(a, b, self.lambda_param, 0.0, 0.0)
        a, b = collectives.gather_rows(a), collectives.gather_rows(b)
        return invariance + self._weighted(a, b, 0.0, self.mu_param, self.nu_param)

    def _weighted(
        self, a: Tensor, b: Tensor, invariance: float, variance: float, covariance: float
    ) -> Tensor:
        return functional.vicreg_loss(
            a,
            b,
            invariance_weight=invariance,
            variance_weight=variance,
            covariance_weight=covariance,
            eps=self.eps,
            convention="lightly",
        )

    def extra_repr(self) -> str:
        return (
            f"lambda_param={self.lambda_param}, mu_param={self.mu_param}, "
            f"nu_param={self.nu_param}, eps={self.eps}"
        )


class BarlowTwinsLoss(nn.Module):
    """Barlow Twins (Zbontar et al., ICML 2021); see
    :func:`tsssl_fast.functional.barlow_twins_loss`.

    Args:
        lambda_param: >= 0, weight of the off-diagonal sum.
        gather_distributed: the cross-correlation is the mean over processes, each standardised by
            its own batch; in plain torch, with the D x D matrix.

    forward(z_a, z_b): (N, D), N >= 2 -> scalar in the inputs' dtype.
    """

    def __init__(self, lambda_param: float = 5e-3, gather_distributed: bool = False) -> None:
        super().__init__()
        need_distributed("gather_distributed", gather_distributed)
        self.lambda_param = checks.non_negative("lambda_param", lambda_param)
        self.gather_distributed = gather_distributed

    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        z_a, z_b = promoted(z_a, z_b)
        if self.gather_distributed and collectives.world_size() > 1:
            a, b = (batch_norm(z, None, None, training=True) for z in widened(z_a, z_b))
            c = collectives.sum_over_processes(a.T @ b / (len(a) * collectives.world_size()))
            on = (1 - c.diagonal()).square().sum()
            off = c.square().sum() - c.diagonal().square().sum()
            return result(on + self.lambda_param * off, z_a)
        loss = functional.barlow_twins_loss(z_a, z_b, lambd=self.lambda_param, convention="lightly")
        return result(loss, z_a)

    def extra_repr(self) -> str:
        return f"lambda_param={self.lambda_param}"


def _check_views(z_a: Tensor, z_b: Tensor) -> None:
    if z_a.shape != z_b.shape:
        raise AssertionError(f"z_b: shape {tuple(z_b.shape)}; accepted: {tuple(z_a.shape)} as z_a")
    if len(z_a) < 2:
        raise AssertionError(f"z_a: shape {tuple(z_a.shape)}; accepted: (N, ..., D) with N >= 2")
