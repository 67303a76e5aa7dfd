"""Forecasting the steps that follow, with a contrast beside the error."""

from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.losses import NTXentLoss
from tsssl_fast.methods.base import (
    Batch,
    Logs,
    Method,
    Views,
    at_least,
    out_features,
    projector,
    stacked_views,
)


class Forecasting(Method):
    """The last steps of each window are forecast from those before them:

        past, future = window;  loss = mean (head(encoder(past)) - future)^2
                                       + weight NTXent(projector(encoder(view_i(past))), i = 1, 2)

    Source: What Constitutes Good Contrastive Learning in Time-Series Forecasting?, 2023, whose best
    strategy trains both terms together. Errors per horizon: `evaluate.forecast_errors`; what a
    forecast looks at: `evaluate.receptive_field`.

    Args:
        encoder: (N, C, T - horizon) -> (N, F).
        head: (N, F) -> (N, C * horizon).
        horizon: steps that are forecast, >= 1.
        projector, views: of the contrast; None where weight is 0.
        weight: of the contrast, >= 0. temperature: of it.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        horizon: int,
        projector: nn.Module | None = None,
        views: Views | None = None,
        weight: float = 0.0,
        temperature: float = 0.2,
    ) -> None:
        super().__init__()
        checks.at_least("horizon", horizon, 1)
        self.weight = checks.non_negative("weight", weight)
        if weight and (projector is None or views is None):
            raise ValueError(f"weight: {weight} without projector and views; accepted: 0")
        self.encoder, self.head, self.horizon = encoder, head, horizon
        self.projector, self.views = projector, views
        self.criterion = NTXentLoss(temperature=temperature)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        horizon: float = 24,
        weight: float = 0.1,
        temperature: float = 0.2,
    ) -> "Forecasting":
        """A linear head, a 256-128 projector."""
        channels = int(encoder.channels)  # type: ignore[arg-type]
        head = nn.Linear(out_features(encoder), channels * int(horizon))
        return cls(encoder, head, int(horizon), projector(encoder), views, weight, temperature)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        steps = batch.x.shape[2]
        if steps <= self.horizon:
            raise ValueError(
                f"horizon: {self.horizon}; accepted: below the {steps} steps of a series"
            )
        past, future = batch.x[..., : -self.horizon], batch.x[..., -self.horizon :]
        error = (self.forecast(past) - future).square().mean()
        if not self.weight or self.views is None or self.projector is None:
            return error, {"mse": error.detach()}
        at_least(2, batch)
        views = stacked_views(self.views, batch._replace(x=past))
        contrast = self.criterion(*self.projector(self.encode(views)).chunk(2))
        logs = {"mse": error.detach(), "contrast": contrast.detach()}
        return error + self.weight * contrast, logs

    def forecast(self, past: Tensor) -> Tensor:
        """(N, C, T') -> (N, C, horizon)."""
        y: Tensor = self.head(self.encode(past))
        return y.unflatten(1, (past.shape[1], self.horizon))


def windows(series: Tensor, length: int, stride: int = 1) -> Tensor:
    """(C, T) -> (N, C, length): every `stride`-th window of a series.

    Raises ValueError where it has less than `length` steps.
    """
    if series.dim() != 2:
        raise ValueError(f"series: shape {tuple(series.shape)}; accepted: (C, T)")
    if not 1 <= length <= series.shape[1]:
        raise ValueError(f"length: {length}; accepted: 1 to the {series.shape[1]} steps")
    checks.at_least("stride", stride, 1)
    return series.unfold(1, length, stride).transpose(0, 1).contiguous()
