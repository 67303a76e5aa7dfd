"""What stands where a series is hidden."""

import torch
from torch import Tensor

from tsssl_fast.augment import inputs, validation
from tsssl_fast.backends import dispatch
from tsssl_fast.common import checks, random
from tsssl_fast.common.renaming import renamed
from tsssl_fast.masking.masks import Seed
from tsssl_fast.ops.augment.spec import MAX_VIEWS
from tsssl_fast.ops.masking.operators.fill import mask_fill
from tsssl_fast.ops.masking.spec import Fill


def check_hidden(hidden: Tensor, x: Tensor, name: str = "x") -> None:
    """A bool tensor of the shape and on the device of x."""
    if not isinstance(hidden, Tensor) or hidden.dtype != torch.bool:
        given = getattr(hidden, "dtype", type(hidden).__name__)
        raise TypeError(f"hidden: {given}; accepted: a bool tensor, True where hidden")
    if hidden.shape != x.shape:
        raise ValueError(
            f"hidden: shape {tuple(hidden.shape)}; accepted: {tuple(x.shape)} as {name} (expand it)"
        )
    if hidden.device != x.device:
        raise ValueError(f"hidden: device {hidden.device}; accepted: {x.device} as {name}")


@renamed(mask="hidden")
def fill(
    x: Tensor,
    hidden: Tensor,
    value: str | Tensor = "zero",
    *,
    seed: Seed = None,
    sample_ids: Tensor | None = None,
    view: int = 0,
    epoch: int = 0,
    step: int = 0,
    rank: int = 0,
    backend: str | None = None,
) -> Tensor:
    """x with its hidden values replaced: y = x where visible, else

    "zero": 0; "mean": the mean of the channel's visible steps; "noise": that mean plus the standard
    deviation of the visible steps times a standard normal; a tensor: a learned token, one value per
    channel. NaN do not count as visible; a channel without any visible step gets mean 0 and
    deviation 0. In the derivative mean and deviation are constants.

    Args:
        x: (N, C, T) floating.
        hidden: (N, C, T) bool, True where hidden.
        value: "zero", "mean", "noise" or a token (C,) of x's dtype, which gets its gradient.
        seed, sample_ids, view, epoch, step, rank: the stream of "noise".

    Raises TypeError for another dtype, ValueError for another shape or an unknown name.
    """
    checks.floating("x", x)
    inputs.check_series(x, "NCT")
    check_hidden(hidden, x)
    token, source, ids = None, None, None
    if isinstance(value, Tensor):
        token, kind = value, Fill.TOKEN
        check_token(token, x, x.shape[1], "C")
    else:
        checks.choice("value", value, ("zero", "mean", "noise"))
        kind = Fill[value.upper()]
    if kind == Fill.NOISE:
        source = random.seed_tensor(seed, epoch, step, rank)
        ids = inputs.per_sample("sample_ids", sample_ids, len(x))
    validation.integer("view", view, 0, MAX_VIEWS - 1)
    name = dispatch.backend_name(backend)
    filled: Tensor = mask_fill(x, hidden, int(kind), token, source, view, ids, name)
    return filled


def check_token(token: Tensor, x: Tensor, width: int, letter: str, name: str = "value") -> None:
    checks.floating(name, token)
    if token.shape != (width,):
        raise ValueError(f"{name}: shape {tuple(token.shape)}; accepted: ({letter},) = ({width},)")
    if token.dtype != x.dtype:
        raise TypeError(f"{name}: dtype {token.dtype}; accepted: {x.dtype} as the rest")
    if token.device != x.device:
        raise ValueError(f"{name}: device {token.device}; accepted: {x.device} as the rest")
