"""Windows that end at a step and do not see what comes next."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

from tsssl_fast.augment import inputs, validation
from tsssl_fast.backends.precision import widest
from tsssl_fast.common import checks


def moving_average(
    x: Tensor, window: int, min_periods: int | None, lengths: Tensor | None
) -> Tensor:
    """y[t] = mean of x[max(0, t - window + 1)] ... x[t]; NaN where there are less than min_periods
    of them; padding keeps its values."""
    checks.floating("x", x)
    inputs.check_series(x, "NCT")
    least = 1 if min_periods is None else min_periods
    validation.integer("min_periods", least, 1, window)
    known = inputs.per_sample("lengths", lengths, len(x))
    steps = torch.arange(1, x.shape[2] + 1, device=x.device)
    width = min(window, x.shape[2])
    wide = x.detach().to(widest(x))
    total = avg_pool1d(pad(wide, (width - 1, 0)), width, 1) * width
    y = total / steps.clamp_max(window)
    y = torch.where(steps < least, torch.nan, y).to(x.dtype)
    if known is None:
        return y
    return torch.where(steps > known.to(x.device)[:, None, None], x.detach(), y)
