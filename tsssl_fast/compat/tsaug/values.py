"""Augmenters of values at their places. x is (N, T, C); a tuple (low, high) is drawn from, a list
chosen from, per series or per channel."""

from typing import Any

import numpy as np

from tsssl_fast.compat.tsaug.base import (
    Array,
    Augmenter,
    checked,
    chosen,
    flag,
    numbers,
    rows_of,
    series_of,
    sizes,
    span,
)

Drawn = tuple[Array, Array | None]
Rand = np.random.RandomState


class AddNoise(Augmenter):
    """x + w (loc + scale r), w the channel's range where `normalize`, else 1; kind
    "multiplicative": x (1 + loc + scale r). r: "gaussian", "laplace" or "uniform" on
    [-sqrt 3, sqrt 3), of every channel or of all alike."""

    shown = ("loc", "scale", "distr", "kind", "per_channel", "normalize")

    def __init__(
        self,
        loc: Any = 0.0,
        scale: Any = 0.1,
        distr: str = "gaussian",
        kind: str = "additive",
        per_channel: bool = True,
        normalize: bool = True,
        repeats: int = 1,
        prob: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(repeats, prob, seed)
        self.loc, self.scale = checked("loc", loc), checked("scale", scale, least=0)
        self.distr = chosen("distr", distr, ("gaussian", "laplace", "uniform"))
        self.kind = chosen("kind", kind, ("additive", "multiplicative"))
        self.per_channel = flag("per_channel", per_channel)
        self.normalize = flag("normalize", normalize)

    def core(self, rand: Rand, x: Array, y: Array | None) -> Drawn:
        n, steps, channels = x.shape
        loc, scale = (numbers(rand, v, n).reshape(n, 1, 1) for v in (self.loc, self.scale))
        size = (n, steps, channels if self.per_channel else 1)
        if self.distr == "uniform":
            noise = rand.uniform(-(3**0.5), 3**0.5, size)
        else:
            noise = (rand.normal if self.distr == "gaussian" else rand.laplace)(0.0, 1.0, size)
        noise = noise * scale + loc
        if self.kind == "multiplicative":
            return x * (1.0 + noise), y
        return x + noise * (span(x) if self.normalize else 1), y


class Drift(Augmenter):
    """x + w d, w the channel's range where `normalize`, else 1; kind "multiplicative": x (1 + d).
    d: a cubic spline through n_drift_points + 2 points of a random walk, that starts at 0 and is at
    most max_drift away from it."""

    shown = ("max_drift", "n_drift_points", "kind", "per_channel", "normalize")

    def __init__(
        self,
        max_drift: Any = 0.5,
        n_drift_points: Any = 3,
        kind: str = "additive",
        per_channel: bool = True,
        normalize: bool = True,
        repeats: int = 1,
        prob: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(repeats, prob, seed)
        self.max_drift = checked("max_drift", max_drift, least=0)
        self.n_drift_points = checked("n_drift_points", n_drift_points, least=1, whole=True)
        self.kind = chosen("kind", kind, ("additive", "multiplicative"))
        self.per_channel = flag("per_channel", per_channel)
        self.normalize = flag("normalize", normalize)

    def core(self, rand: Rand, x: Array, y: Array | None) -> Drawn:
        from scipy.interpolate import CubicSpline

        n, steps, channels = x.shape
        curves = n * (channels if self.per_channel else 1)
        points = set(np.atleast_1d(self.n_drift_points).tolist())
        which = rand.choice(len(points), curves)
        drift = np.zeros((curves, steps))
        for i, count in enumerate(points):
            if (rows := which == i).any():
                walk = rand.normal(size=(rows.sum(), count + 2)).cumsum(axis=1)
                spline = CubicSpline(np.linspace(0, steps, count + 2), walk, axis=1)
                drift[rows] = spline(np.arange(steps))
        drift = drift.reshape(n, -1, steps).swapaxes(1, 2)
        drift = drift - drift[:, :1]
        most = abs(drift).max(axis=1, keepdims=True)
        drift = drift / np.where(most == 0, 1, most)
        size = (n, 1, drift.shape[2])
        drift = drift * numbers(rand, self.max_drift, size)
        if self.kind == "multiplicative":
            return x * (1 + drift), y
        return x + drift * (span(x) if self.normalize else 1), y


class Dropout(Augmenter):
    """Blocks of `size` steps after a step that is kept become what `fill` says: "ffill" that step's
    value, "bfill" that of the next step behind, "mean" the channel's mean, or a number. A block
    starts with probability p / size."""

    shown = ("p", "size", "fill", "per_channel")

    def __init__(
        self,
        p: Any = 0.05,
        size: Any = 1,
        fill: str | float = "ffill",
        per_channel: bool = False,
        repeats: int = 1,
        prob: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(repeats, prob, seed)
        self.p = checked("p", p, least=0, most=1)
        self.size = checked("size", size, least=1, whole=True)
        if isinstance(fill, str):
            chosen("fill", fill, ("ffill", "bfill", "mean"))
        else:
            checked("fill", fill, several=False)
        self.fill, self.per_channel = fill, flag("per_channel", per_channel)

    def core(self, rand: Rand, x: Array, y: Array | None) -> Drawn:
        n, steps, channels = x.shape
        units = n * channels if self.per_channel else n
        p = numbers(rand, self.p, units).reshape(-1, 1)
        rows, lengths = rows_of(x), sizes(self.size)
        mean = rows.mean(axis=1)
        for length in lengths:
            drop = rand.uniform(size=(units, steps - length)) <= p / len(lengths) / length
            if not self.per_channel:
                drop = np.repeat(drop, channels, axis=0)
            row, start = drop.nonzero()
            inside = start[:, None] + np.arange(1, length + 1)
            new: Any = self.fill
            if self.fill == "ffill":
                new = rows[row, start][:, None]
            elif self.fill == "bfill":
                new = rows[row, start + length][:, None]
                inside = inside[:, ::-1] - 1
            elif self.fill == "mean":
                new = mean[row][:, None]
            rows[row[:, None], inside] = new
        return series_of(rows, channels), y


class Pool(Augmenter):
    """Neighbouring `size` steps become their mean ("ave"), "max" or "min"; so do the steps left
    over at the end."""

    shown = ("kind", "size", "per_channel")

    def __init__(
        self,
        kind: str = "ave",
        size: Any = 2,
        per_channel: bool = False,
        repeats: int = 1,
        prob: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(repeats, prob, seed)
        self.kind = chosen("kind", kind, ("max", "min", "ave"))
        self.size = checked("size", size, least=1, whole=True)
        self.per_channel = flag("per_channel", per_channel)

    def core(self, rand: Rand, x: Array, y: Array | None) -> Drawn:
        n, steps, channels = x.shape
        width = rand.choice(sizes(self.size), size=n * (channels if self.per_channel else 1))
        if not self.per_channel:
            width = np.repeat(width, channels)
        pool: Any = {"max": np.max, "min": np.min, "ave": np.mean}[self.kind]
        rows = rows_of(x)
        for size in np.unique(width):
            part, whole = rows[width == size], steps // size * size
            blocks = part[:, :whole].reshape(len(part), -1, size)
            part[:, :whole] = np.repeat(pool(blocks, axis=2), size, axis=1)
            if whole < steps:
                part[:, whole:] = pool(part[:, whole:], axis=1, keepdims=True)
            rows[width == size] = part
        return series_of(rows, channels), y


class Quantize(Augmenter):
    """n_levels equal parts of the channel's range, each value at the middle of the part it rounds
    to: m + w (min(round(n (x - m) / w), n - 1) + 1/2) / n. how: "uniform"; "quantile" and
    "kmeans" are not there, each a NotImplementedError."""

    shown = ("n_levels", "how", "per_channel")

    def __init__(
        self,
        n_levels: Any = 10,
        how: str = "uniform",
        per_channel: bool = False,
        repeats: int = 1,
        prob: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(repeats, prob, seed)
        self.n_levels = checked("n_levels", n_levels, least=1, whole=True)
        if chosen("how", how, ("uniform", "quantile", "kmeans")) != "uniform":
            raise NotImplementedError(
                f'how={how!r}: not implemented; how="uniform" or tsssl_fast.augment.Quantize'
            )
        self.how, self.per_channel = how, flag("per_channel", per_channel)

    def core(self, rand: Rand, x: Array, y: Array | None) -> Drawn:
        n, _, channels = x.shape
        levels: Any = self.n_levels
        if not isinstance(levels, int):
            levels = rand.choice(sizes(levels), size=(n, 1, channels if self.per_channel else 1))
        least, width = x.min(axis=1, keepdims=True), span(x)
        width[width == 0] = 1
        level = ((x - least) / width * levels).round().clip(0, levels - 1)
        return (level + 0.5) / levels * width + least, y


class Convolve(Augmenter):
    """The weighted mean of neighbours, the weights scipy.signal.get_window(window, size); beyond an
    end the series runs backwards.

    window: a name that scipy knows, or a list of names, of which one is drawn. size: steps of the
    window.
    """

    shown = ("window", "size", "per_channel")

    def __init__(
        self,
        window: Any = "hann",
        size: Any = 7,
        per_channel: bool = False,
        repeats: int = 1,
        prob: float = 1.0,
        seed: int | None = None,
    ) -> None:
        from scipy.signal import get_window

        super().__init__(repeats, prob, seed)
        for kind in window if isinstance(window, list) else [window]:
            get_window(kind, 7)  # raises for what is no window
        self.window, self.size = window, checked("size", size, least=1, whole=True)
        self.per_channel = flag("per_channel", per_channel)

    def core(self, rand: Rand, x: Array, y: Array | None) -> Drawn:
        from scipy.ndimage import convolve1d
        from scipy.signal import get_window

        n, _, channels = x.shape
        units = n * (channels if self.per_channel else 1)
        windows = self.window if isinstance(self.window, list) else [self.window]
        kind = np.zeros(units, dtype=int)
        if isinstance(self.window, list):
            kind = rand.choice(len(windows), units)
        size = np.full(units, self.size) if isinstance(self.size, int) else None
        if size is None:
            size = rand.choice(sizes(self.size), units)
        if not self.per_channel:
            kind, size = np.repeat(kind, channels), np.repeat(size, channels)
        rows = rows_of(x)
        for i, width in sorted({*zip(kind.tolist(), size.tolist(), strict=True)}):
            weights = get_window(windows[i], width, fftbins=False)
            alike = (kind == i) & (size == width)
            rows[alike] = convolve1d(rows[alike], weights, axis=1) / weights.sum()
        return series_of(rows, channels), y
