"""Alignment losses of methods without negatives (SimSiam, BYOL and their variants), in plain torch.

Each pulls the prediction of one view to the target of the other. The targets carry no gradient
unless asked: that stop is what keeps SimSiam and BYOL from collapsing. `tsssl_fast.functional`
re-exports them.
"""

import torch
from torch import Tensor

from tsssl_fast.common import checks
from tsssl_fast.common.dtypes import compute_dtype


def negative_cosine_similarity(
    prediction: Tensor, target: Tensor, *, eps: float = 1e-8, stop_gradient: bool = True
) -> Tensor:
    """-(1/N) sum_i <p_i, t_i> / (||p_i|| ||t_i||).

    SimSiam's loss (Chen and He, CVPR 2021); BYOL's is 2 + 2 times it. The symmetric loss of two
    views is the mean of (p1, z2) and (p2, z1).

    Args:
        prediction, target: (N, D), floating, alike in shape and device; of two dtypes the loss is
            that of both in torch.promote_types of them.
        eps: least norm of a row, > 0.
        stop_gradient: the target gets no gradient, as published; False: it gets its own, for
            losses whose sides both learn.

    Returns: a scalar in [-1, 1]; float32 for 16-bit inputs.

    Raises: TypeError, ValueError: inputs not floating (N, D) or not alike, eps not positive.
    """
    p, t = _pair(prediction, target, stop_gradient)
    return -torch.nn.functional.cosine_similarity(
        p, t, dim=1, eps=checks.positive("eps", eps)
    ).mean()


def mse_alignment(prediction: Tensor, target: Tensor, *, stop_gradient: bool = True) -> Tensor:
    """(1/(N D)) ||p - t||²; p, t: (N, D) floating.

    Args, returns, raises: as for negative_cosine_similarity.
    """
    return torch.nn.functional.mse_loss(*_pair(prediction, target, stop_gradient))


def smooth_l1_alignment(
    prediction: Tensor, target: Tensor, *, beta: float = 1.0, stop_gradient: bool = True
) -> Tensor:
    """Mean of e² / (2 beta) where |e| < beta, else |e| - beta / 2, e = p - t (data2vec).

    p, t: (N, D) floating. Args, returns, raises: as for negative_cosine_similarity; beta > 0.
    """
    p, t = _pair(prediction, target, stop_gradient)
    return torch.nn.functional.smooth_l1_loss(p, t, beta=checks.positive("beta", beta))


def _pair(prediction: Tensor, target: Tensor, stop_gradient: bool) -> tuple[Tensor, Tensor]:
    checks.matrix("prediction", prediction)
    checks.matrix("target", target)
    checks.alike(("prediction", "target"), (prediction, target))
    dtype = compute_dtype(torch.promote_types(prediction.dtype, target.dtype))
    return prediction.to(dtype), (target.detach() if stop_gradient else target).to(dtype)
