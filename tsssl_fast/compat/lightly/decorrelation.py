"""Losses of a batch's statistics: VICReg, Barlow Twins, TiCo, MMCR."""

from dataclasses import field

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tsssl_fast import functional
from tsssl_fast.common import collectives
from tsssl_fast.common.modules import DeclaredModule
from tsssl_fast.compat._shared import (
    AmongProcesses,
    Weight,
    barlow_among_processes,
    pair,
    promoted,
    result,
    widened,
)

__all__ = ["BarlowTwinsLoss", "MMCRLoss", "TiCoLoss", "VICRegLoss"]


class VICRegLoss(DeclaredModule):
    """VICReg (Bardes et al., ICLR 2022); see :func:`tsssl_fast.functional.vicreg_loss`.

    Args:
        lambda_param, mu_param, nu_param: >= 0, of invariance, variance and covariance.
        gather_distributed: variance and covariance are of the rows of all processes.
        eps: added to the variance.

    forward(z_a, z_b): (N, ..., D), N >= 2 -> scalar in the inputs' dtype; of inputs with more than
    two dimensions the mean over the positions between.
    """

    lambda_param: Weight = 25.0
    mu_param: Weight = 25.0
    nu_param: Weight = 1.0
    gather_distributed: AmongProcesses = False
    eps: float = 0.0001

    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        _check_views(z_a, z_b)
        z_a, z_b = promoted(z_a, z_b)
        if z_a.dim() == 2:
            return result(self._of_rows(z_a, z_b), z_a)
        positions = zip(*(z.flatten(1, -2).unbind(1) for z in (z_a, z_b)), strict=True)
        return result(torch.stack([self._of_rows(a, b) for a, b in positions]).mean(), z_a)

    def _of_rows(self, a: Tensor, b: Tensor) -> Tensor:
        weights = (self.lambda_param, self.mu_param, self.nu_param)
        return vicreg_of_rows(a, b, weights, self.eps, self.gather_distributed)


def vicreg_of_rows(
    a: Tensor, b: Tensor, weights: tuple[float, float, float], eps: float, gather: bool
) -> Tensor:
    """VICReg of (N, D) with weights of invariance, variance and covariance; gather: the latter two
    are of the rows of all processes."""
    if not (gather and collectives.world_size() > 1):
        return _weighted(a, b, *weights, eps)
    invariance = _weighted(a, b, weights[0], 0.0, 0.0, eps)
    a, b = collectives.gather_rows(a), collectives.gather_rows(b)
    return invariance + _weighted(a, b, 0.0, *weights[1:], eps)


def _weighted(
    a: Tensor, b: Tensor, invariance: float, variance: float, covariance: float, eps: float
) -> Tensor:
    return functional.vicreg_loss(
        a,
        b,
        invariance_weight=invariance,
        variance_weight=variance,
        covariance_weight=covariance,
        eps=eps,
        convention="lightly",
    )


class BarlowTwinsLoss(DeclaredModule):
    """Barlow Twins (Zbontar et al., ICML 2021); see
    :func:`tsssl_fast.functional.barlow_twins_loss`.

    Args:
        lambda_param: >= 0, weight of the off-diagonal sum.
        gather_distributed: the cross-correlation is the mean over processes, each standardised by
            its own batch; in plain torch, with the D x D matrix.

    forward(z_a, z_b): (N, D), N >= 2 -> scalar in the inputs' dtype.
    """

    lambda_param: Weight = 5e-3
    gather_distributed: AmongProcesses = False

    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        z_a, z_b = pair(("z_a", "z_b"), z_a, z_b)
        if self.gather_distributed and collectives.world_size() > 1:
            return result(barlow_among_processes(z_a, z_b, self.lambda_param), z_a)
        loss = functional.barlow_twins_loss(z_a, z_b, lambd=self.lambda_param, convention="lightly")
        return result(loss, z_a)


class TiCoLoss(DeclaredModule):
    """TiCo (Zhu et al., 2022, arXiv:2206.10698), in plain torch with the D x D matrix: 1 - mean
    <a, b> + rho mean aᵀ C a of unit rows, C <- beta C + (1 - beta) aᵀa / N, without gradient.

    Args:
        beta: in [0, 1), memory of the matrix. rho: weight of the contrast.
        gather_distributed: the rows are those of all processes.

    forward(z_a, z_b, update_covariance_matrix=True): (N, D), N >= 2 -> scalar. C: None before the
    first call, no part of the state_dict.
    """

    beta: float = 0.9
    rho: float = 8.0
    gather_distributed: AmongProcesses = False
    C: Tensor | None = field(init=False, default=None)

    def forward(self, z_a: Tensor, z_b: Tensor, update_covariance_matrix: bool = True) -> Tensor:
        _check_views(z_a, z_b)
        z_a, z_b = promoted(z_a, z_b)
        a, b = widened(z_a, z_b)
        if self.gather_distributed:
            a, b = collectives.gather_rows(a), collectives.gather_rows(b)
        a, b = normalize(a, dim=1), normalize(b, dim=1)
        moment = (a.T @ a).detach() / a.shape[0]
        memory = torch.zeros_like(moment) if self.C is None else self.C.to(moment)
        c = self.beta * memory + (1 - self.beta) * moment
        loss = 1 - (a * b).sum(dim=1).mean() + self.rho * (a @ c * a).sum(dim=1).mean()
        if update_covariance_matrix:
            self.C = c
        return result(loss, z_a)


class MMCRLoss(DeclaredModule):
    """MMCR (Yerxa et al., NeurIPS 2023), in plain torch: -|centroids|_* + lmda |all rows|_* / N,
    |.|_* the sum of singular values, of the centroids (N, D) of an item's 2 V rows and of each
    item's own rows.

    Args: lmda: >= 0.

    forward(online, momentum): (N, V, D) -> scalar.
    """

    lmda: Weight = 5e-3

    def forward(self, online: Tensor, momentum: Tensor) -> Tensor:
        if online.shape != momentum.shape:
            shape = tuple(momentum.shape)
            raise AssertionError(f"momentum: shape {shape}; accepted: {tuple(online.shape)}")
        online, momentum = promoted(online, momentum)
        z = torch.cat(widened(online, momentum), dim=1)
        spread, within = (torch.linalg.svdvals(x).sum() for x in (z.mean(dim=1), z))
        return result(self.lmda * within / z.shape[0] - spread, online)


def _check_views(z_a: Tensor, z_b: Tensor) -> None:
    if z_a.shape != z_b.shape:
        raise AssertionError(f"z_b: shape {tuple(z_b.shape)}; accepted: {tuple(z_a.shape)} as z_a")
    if len(z_a) < 2:
        raise AssertionError(f"z_a: shape {tuple(z_a.shape)}; accepted: (N, ..., D) with N >= 2")
