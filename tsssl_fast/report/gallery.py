"""One picture of every operation on one series. Needs matplotlib (extra `docs`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tsssl_fast import augment
from tsssl_fast.common import checks


def operations(channels: int) -> Mapping[str, Any]:
    """Every operation that works on so many channels, by name, strong enough to be seen.

    What has no setting here is shown by its defaults.
    """
    shown: dict[str, Any] = {
        "TimeFlip": augment.TimeFlip(),
        "SignFlip": augment.SignFlip(),
        "ChannelFlip": augment.ChannelFlip(),
        "BidirectionalFlip": augment.BidirectionalFlip(),
        "Blockout": augment.Blockout(0.2),
        "RandomNoise": augment.RandomNoise(0.4),
        "Jitter": augment.Jitter(0.1),
        "RandomCrop": augment.RandomCrop(0.5),
        "CropResize": augment.CropResize(0.5),
        "WindowSlice": augment.WindowSlice(0.8),
        "WindowWarp": augment.WindowWarp(0.3),
        "MagnitudeWarp": augment.MagnitudeWarp(0.5),
        "MagnitudeSpline": augment.MagnitudeSpline(0.5),
        "Scale": augment.Scale((0.5, 1.5), per_channel=True),
        "Drift": augment.Drift(0.8),
        "TimeWarp": augment.TimeWarp(0.8),
        "TimeScale": augment.TimeScale(1.4),
        "TimeShift": augment.TimeShift(0.4),
        "SegmentPermutation": augment.SegmentPermutation(4),
        "Smooth": augment.Smooth(0.5, passes=8),
        "ChannelPermutation": augment.ChannelPermutation(),
        "ChannelDropout": augment.ChannelDropout(0.5),
        "TimeDropout": augment.TimeDropout(0.3, span=8.0),
        "Offset": augment.Offset(0.7),
        "Quantize": augment.Quantize(6),
        "MovingAverage": augment.MovingAverage(25),
        "FrequencyMask": augment.FrequencyMask(rate=0.4),
        "PhaseSurrogate": augment.PhaseSurrogate(),
        "BandStop": augment.BandStop(100.0, centre=1.0, width=2.0),
        "BandPass": augment.BandPass(100.0, low=0.0, high=2.0),
        "FrequencyShift": augment.FrequencyShift(100.0, shift=(2.0, 2.0)),
        "BaselineWander": augment.BaselineWander(100.0, magnitude=1.0, frequency=0.5),
        "PowerlineHum": augment.PowerlineHum(100.0, magnitude=0.5, frequency=20.0),
        "ColouredNoise": augment.ColouredNoise(0.6, exponent=1.0),
        "TaperedMask": augment.TaperedMask(0.5),
        "MixUp": augment.MixUp((0.4, 0.6)),
        "CutMix": augment.CutMix((0.3, 0.5)),
    }
    if channels >= 3:
        shown["Rotation"] = augment.Rotation()
    if channels >= 2:
        shown["ChannelSwap"] = augment.ChannelSwap([(0, 1)])
        shown["BandRoll"] = augment.BandRoll(channels, shift=(1, 1))
    files = (augment.channels, augment.filters, augment.masks, augment.signals, augment.time)
    for file in (*files, augment.values):
        for name in file.__all__:
            if name not in (*shown, "Identity", "Rotation", "ChannelSwap", "BandRoll"):
                shown[name] = getattr(augment, name)()
    return shown


def draw(series: Tensor, file: str | Path, *, seed: int = 0) -> None:
    """Draws one series (C, T) and what every operation makes of it into an image file.

    MixUp and CutMix mix it with itself played backwards. They run where the series is.
    Raises TypeError or ValueError for anything but a floating (C, T).
    """
    from matplotlib.figure import Figure

    checks.matrix("series", series)
    x = series.detach().float()
    views = {"original": x}
    for name, operation in operations(len(x)).items():
        if isinstance(operation, augment.MixUp | augment.CutMix):
            views[name] = operation(torch.stack([x, x.flip(-1)]), 1, seed=seed).x[0, 0]
        else:
            views[name] = operation(x[None], 1, seed=seed)[0, 0]
    columns = 4
    rows = -(-len(views) // columns)
    figure = Figure(figsize=(2.2 * columns, 1.2 * rows), layout="constrained")
    low, high = float(x.min()), float(x.max())
    margin = 0.3 * (high - low) + 1e-6
    for axes, (name, view) in zip(figure.subplots(rows, columns).flat, views.items(), strict=False):
        axes.plot(view.T.cpu().numpy(), linewidth=0.8)
        axes.set_title(name, fontsize=8)
        axes.set_ylim(low - margin, high + margin)
        axes.tick_params(labelbottom=False, labelleft=False, length=2)
    for axes in figure.axes[len(views) :]:
        axes.set_axis_off()
    figure.savefig(file, dpi=85)


def gesture(steps: int = 315) -> Tensor:
    """A three-axis gesture, (3, steps) float32, made up: rest, two swings, rest.

    steps: T, the number of time steps.
    """
    t = torch.linspace(0, 1, steps)
    swing = torch.exp(-(((t - 0.5) / 0.18) ** 2))
    return torch.stack(
        [
            torch.sin(12 * t) * swing,
            torch.cos(17 * t) * swing + 0.2 * t,
            1.2 * swing * torch.sin(25 * t) * (t > 0.35) - 0.5 * (1 - swing),
        ]
    )


if __name__ == "__main__":
    import sys

    if len(sys.argv) != 2:
        sys.exit("usage: python -m tsssl_fast.report.gallery FILE.png")
    draw(gesture(), sys.argv[1])
