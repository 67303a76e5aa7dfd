"""Network dissection in one dimension: which concept each unit of the last stage selects.

A concept is a score of every time step of a series; its mask holds the steps of the highest tenth
over the whole set. A unit's mask holds the steps where it is in its own highest tenth. The unit's
concept is the one with the greatest overlap |unit and concept| / |unit or concept| (IoU). By chance
that is 0.053; a unit below `LEAST_IOU` counts as without a concept. After Bau et al., Network
Dissection, CVPR 2017, whose concepts are labelled by hand; these are computed from the series:

| concept                     | score of step t                                                   |
| --------------------------- | ----------------------------------------------------------------- |
| rising, falling             | slope of the moving average over T/8 steps, its strongest channel |
| spike                       | distance from that moving average, in the channel's deviations    |
| low, middle, high frequency | energy in a third of the octaves, windows of T/4 steps            |
| channel c                   | share of channel c in the energy, windows of T/8 steps            |
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, interpolate, pad

from tsssl_fast.common import checks
from tsssl_fast.evaluate.features import stages

SHARE = 0.1
LEAST_IOU = 0.1


@dataclass(frozen=True)
class Dissection:
    """iou: (units, concepts) float32 overlaps; names: of the concepts; activations: (N, units, T)
    float32 of the last stage, stretched to the series' steps.
    """

    iou: Tensor
    names: tuple[str, ...]
    activations: Tensor

    def selected(self) -> list[tuple[int, str, float]]:
        """(unit, concept, IoU), the greatest overlap first; "none" below the least IoU."""
        value, index = self.iou.max(1)
        order = value.argsort(descending=True, stable=True).tolist()
        return [
            (u, self.names[index[u]] if value[u] >= LEAST_IOU else "none", float(value[u]))
            for u in order
        ]

    def counts(self) -> dict[str, int]:
        """Units per concept, in the order of `names`, then "none"."""
        found = [concept for _, concept, _ in self.selected()]
        return {name: found.count(name) for name in (*self.names, "none")}


def dissect(encoder: nn.Module, x: Tensor, channels: Sequence[str] = ()) -> Dissection:
    """The units of `encoder`'s last stage on series x (N, C, T), T >= 8, in evaluation mode.

    channels: their names, where they have any.

    Raises TypeError, ValueError for x of another kind or shape, or an encoder without stages.
    """
    names, scores = concepts(x, channels)
    found = stages(encoder)
    if not found:
        raise ValueError(
            f"encoder: {type(encoder).__name__} has no stages; accepted: one with `stages`"
        )
    seen: list[Tensor] = []
    hook = found[-1].register_forward_hook(lambda _m, _i, output: seen.append(output.flatten(2)))
    training = encoder.training
    encoder.eval()
    try:
        with torch.inference_mode():
            encoder(x)
    finally:
        hook.remove()
        encoder.train(training)
    activations = interpolate(seen[0].float(), size=x.shape[-1], mode="linear")
    unit, concept = _mask(activations), _mask(scores)
    both = torch.einsum("nut,nct->uc", unit, concept)
    either = unit.sum((0, 2))[:, None] + concept.sum((0, 2))[None] - both
    return Dissection(both / either.clamp(min=1), names, activations)


def concepts(x: Tensor, channels: Sequence[str] = ()) -> tuple[tuple[str, ...], Tensor]:
    """The concepts' names, and their scores (N, concepts, T) of series x (N, C, T).

    channels: their names; none: numbers.
    """
    checks.floating("x", x)
    if x.dim() != 3 or len(x) == 0 or x.shape[-1] < 8:
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, C, T) with N >= 1, T >= 8")
    x = x.float()
    steps = x.shape[-1]
    window = max(3, steps // 8) | 1
    smooth = _mean(x, window)
    slope = torch.gradient(smooth, dim=-1)[0]
    deviation = x.std(-1, keepdim=True, correction=0).clamp(min=1e-12)
    energy = _mean((x - x.mean(-1, keepdim=True)).square(), window)
    share = energy / energy.sum(1, keepdim=True).clamp(min=1e-12)
    scores = [
        slope.amax(1),
        (-slope).amax(1),
        ((x - smooth).abs() / deviation).amax(1),
        *_bands(x),
        *share.unbind(1),
    ]
    names = ("rising", "falling", "spike", "low frequency", "middle frequency", "high frequency")
    of_channels = (f"channel {name}" for name in channels or range(x.shape[1]))
    return (*names, *of_channels), torch.stack(scores, 1)


def _mean(x: Tensor, window: int) -> Tensor:
    return avg_pool1d(pad(x, (window // 2, window // 2), mode="replicate"), window, 1)


def _bands(x: Tensor) -> list[Tensor]:
    """Energy (N, T) in three bands of equal numbers of octaves, summed over the channels."""
    steps = x.shape[-1]
    size = max(8, steps // 4)
    padded = pad(x - x.mean(-1, keepdim=True), (size // 2, size - 1 - size // 2))
    frames = padded.unfold(-1, size, 1) * torch.hann_window(size)
    power = torch.fft.rfft(frames).abs().square().sum(1)[..., 1:]  # (N, T, frequencies)
    octave = torch.log2(torch.arange(1, power.shape[-1] + 1))
    band = (3 * octave / (octave[-1] + 1e-6)).long().clamp(max=2)
    return [power[..., band == b].sum(-1) for b in range(3)]


def _mask(values: Tensor) -> Tensor:
    """(N, K, T) -> the steps of each of K in its highest tenth over the set, as 0 and 1."""
    flat = values.transpose(0, 1).flatten(1)
    count = max(1, round(SHARE * flat.shape[1]))
    mask = torch.zeros_like(flat).scatter_(1, flat.topk(count, 1).indices, 1.0)
    # A constant is no choice of steps.
    mask[flat.amax(1) <= flat.amin(1)] = 0
    return mask.view(len(mask), len(values), -1).transpose(0, 1)
