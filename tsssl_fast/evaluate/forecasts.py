"""How good a forecast is at each step ahead, and which steps it looks at."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tsssl_fast.common import checks


@dataclass(frozen=True)
class ForecastErrors:
    """mse, mae: means over series, channels and steps; mse_at, mae_at: (H,) float64, per step."""

    mse: float
    mae: float
    mse_at: Tensor
    mae_at: Tensor


@torch.no_grad()
def forecast_errors(forecast: Tensor, future: Tensor) -> ForecastErrors:
    """Mean squared and mean absolute errors, in all and per step ahead, in float64.

    Args:
        forecast, future: (N, C, H) floating.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    for name, x in (("forecast", forecast), ("future", future)):
        checks.floating(name, x)
    forecast, future = checks.alike(("forecast", "future"), (forecast, future))
    if forecast.dim() != 3 or 0 in forecast.shape:
        raise ValueError(f"forecast: shape {tuple(forecast.shape)}; accepted: (N, C, H), none 0")
    error = forecast.double() - future.double()
    mse, mae = error.square().mean((0, 1)), error.abs().mean((0, 1))
    return ForecastErrors(mse.mean().item(), mae.mean().item(), mse, mae)


def receptive_field(model: Callable[[Tensor], Tensor], x: Tensor, step: int = -1) -> Tensor:
    """How much one step of an output changes with each step of the input: the empirical receptive
    field (What Constitutes Good Contrastive Learning in Time-Series Forecasting?, 2023):

        r_s = mean over series and input channels of |d (sum over channels of y_step) / d x_s|

    Args:
        model: (N, C, T) -> (N, K, H), each series by itself (evaluation mode).
        x: (N, C, T). step: of the output.

    Returns:
        (T,) of x's dtype.

    Raises:
        TypeError: x is no floating tensor.
        ValueError: x is not (N, C, T); the output is not (N, K, H) or has no such step.
    """
    checks.floating("x", x)
    if x.dim() != 3:
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, C, T)")
    given = x.detach().requires_grad_()
    with torch.enable_grad():
        y = model(given)
    if y.dim() != 3 or not -y.shape[2] <= step < y.shape[2]:
        raise ValueError(f"step: {step}; accepted: a step of the output {tuple(y.shape)}")
    (slope,) = torch.autograd.grad(y[..., step].sum(), given)
    return slope.abs().mean((0, 1))
