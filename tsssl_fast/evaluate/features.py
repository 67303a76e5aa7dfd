"""Features of a frozen encoder: what it returns, or what all its stages say."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d

from tsssl_fast.common import checks
from tsssl_fast.data import Dataset, Series
from tsssl_fast.encoders import Stage, TimeEncoder, padding
from tsssl_fast.encoders.pool import mean_max

POOLINGS = ("final", "stages", "stages+thirds", "input+stages")


def features(
    encoder: nn.Module,
    x: Tensor | Series,
    batch_size: int = 512,
    pooling: str = "final",
    bf16: bool = False,
    lengths: Tensor | None = None,
) -> Tensor:
    """(N, C, T) -> (N, F) float32: the encoder in evaluation mode, without gradient.

    The encoder's mode is restored afterwards. x is moved to the encoder's device, batch by batch,
    and read so where it is `data.Series`.

    Args:
        pooling: "final": the encoder's output; "stages": before it, the mean and maximum over
            time of what every stage but the last returns; "stages+thirds": also the means over the
            three thirds of time of what every stage returns, for series whose order of events
            matters; "input+stages": before "stages", the mean, standard deviation, minimum and
            maximum over time of the series themselves. A stage is an entry of the encoder's
            `stages`, or a child of its only `nn.Sequential` of composite modules that return (N,
            channels, ..., time).
        bf16: run the encoder under autocast to bfloat16, as training may.
        lengths: (N,) int64 in 1 to T, of series that end before T. The padding after them changes
            nothing: a series has the features that it has alone. None: all T steps count.

    Raises TypeError, ValueError for x or lengths of another kind or shape, an unknown pooling, or
    lengths with an encoder that does not take them.
    """
    if not isinstance(x, Series):
        checks.floating("x", x)
    checks.choice("pooling", pooling, POOLINGS)
    if x.dim() != 3 or len(x) == 0:
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, C, T) with N >= 1")
    featured: Any = encoder
    series: Any = x
    if lengths is not None:
        padding.check(lengths, series)
        if not callable(getattr(encoder, "features", None)):
            raise TypeError(
                f"encoder: {type(encoder).__name__} has no `features`; accepted: with lengths, one "
                "that has it, as those of tsssl_fast.encoders"
            )
    device = next((p.device for p in encoder.parameters()), x.device)
    training = encoder.training
    encoder.eval()
    seen: list[Stage] = []
    asked = lengths is not None or (pooling != "final" and isinstance(encoder, TimeEncoder))
    parts_of = () if asked or pooling == "final" else stages(encoder)
    hooks = [
        stage.register_forward_hook(lambda _module, _inputs, y: seen.append(Stage(y, None)))
        for stage in parts_of
    ]
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            found = torch.empty(0)
            for rows in torch.arange(len(x)).split(batch_size):
                seen.clear()
                part, own = x[rows], None
                if lengths is not None:
                    own = lengths[rows]
                    part = part[..., : int(own.max())]
                if not asked:
                    h = encoder(part.to(device))
                else:
                    given = None if own is None else own.to(device)
                    _, h, _, levels_of = featured.features(part.to(device), given)
                    seen += levels_of if pooling != "final" else ()
                levels = [_statistics(part, own).to(device)] if pooling == "input+stages" else []
                if pooling == "stages+thirds":
                    levels += [_thirds(*stage) for stage in seen]
                levels += [mean_max(*stage) for stage in seen[:-1]]
                of_rows = torch.cat([*levels, h], dim=1)
                # A row of results that lives on above a batch's activations would keep them with
                # the allocator: all results are one tensor, made once.
                if not len(found):
                    with torch.inference_mode(False):
                        found = torch.empty(len(x), of_rows.shape[1])
                found[rows] = of_rows.float().cpu()
    finally:
        encoder.train(training)
        for hook in hooks:
            hook.remove()
    return found


def of_splits(
    encoder: nn.Module, scaling: Callable[[Tensor], Tensor], data: Dataset
) -> tuple[Tensor, Tensor]:
    """Features of the scaled train and test series, without their padding where the encoder can."""
    takes = padding.takes_lengths(encoder)
    splits = ((data.x_train, data.lengths_train), (data.x_test, data.lengths_test))
    train, test = (
        features(encoder, scaling(x), lengths=lengths if takes else None) for x, lengths in splits
    )
    return train, test


def stages(encoder: nn.Module) -> Sequence[nn.Module]:
    """The parts of an encoder one after another, as far as they can be told."""
    named = getattr(encoder, "stages", None)
    if named is not None:
        return list(named)
    chains = [
        child
        for child in encoder.children()
        if isinstance(child, nn.Sequential) and all(list(part.children()) for part in child)
    ]
    return list(chains[0]) if len(chains) == 1 else []


def _thirds(h: Tensor, lengths: Tensor | None) -> Tensor:
    """(N, F, ..., L) -> (N, 3F): means over floor(k L / 3) to ceil((k + 1) L / 3), k = 0, 1, 2."""
    h = h.flatten(2)
    if lengths is None:
        return adaptive_avg_pool1d(h, 3).flatten(1)
    own, step = lengths[:, None], torch.arange(h.shape[-1], device=h.device)
    means = []
    for k in range(3):
        third = (step >= k * own // 3) & (step < -(-(k + 1) * own // 3))
        means.append(torch.where(third[:, None], h, 0.0).sum(-1) / third.sum(1, keepdim=True))
    return torch.stack(means, dim=2).flatten(1)


def _statistics(x: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        mean, deviation = x.mean(-1), x.std(-1, correction=0)
        return torch.cat([mean, deviation, x.amin(-1), x.amax(-1)], dim=1)
    own = lengths[:, None]
    mean = padding.hide(x, lengths).sum(-1) / own
    centred = padding.hide(x - mean[..., None], lengths)
    lowest, highest = (padding.hide(x, lengths, end) for end in (torch.inf, -torch.inf))
    deviation = (centred.square().sum(-1) / own).sqrt()
    return torch.cat([mean, deviation, lowest.amin(-1), highest.amax(-1)], dim=1)
