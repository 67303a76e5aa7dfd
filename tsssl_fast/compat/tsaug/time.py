"""Augmenters that move values along time; x is (N, T, C), y a mask (N, T, L) that moves too."""

from typing import Any

import numpy as np

from tsssl_fast.compat.tsaug.base import Array, Augmenter, checked, numbers, sizes

Drawn = tuple[Array, Array | None]
Rand = np.random.RandomState


class Reverse(Augmenter):
    """x[T - 1 - t]."""

    def core(self, rand: Rand, x: Array, y: Array | None) -> Drawn:
        return x[:, ::-1], None if y is None else y[:, ::-1]


class TimeWarp(Augmenter):
    """x at tau(t), linearly interpolated: tau is increasing with both ends fixed, a PCHIP curve
    through n_speed_change + 2 equidistant points; the fastest of its mean speeds between two of
    them is max_speed_ratio times the slowest."""

    shown = ("n_speed_change", "max_speed_ratio")

    def __init__(
        self,
        n_speed_change: int = 3,
        max_speed_ratio: Any = 3.0,
        repeats: int = 1,
        prob: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(repeats, prob, seed)
        checked("n_speed_change", n_speed_change, least=1, whole=True, several=False)
        self.n_speed_change = n_speed_change
        self.max_speed_ratio = checked("max_speed_ratio", max_speed_ratio, least=1)

    def core(self, rand: Rand, x: Array, y: Array | None) -> Drawn:
        from scipy.interpolate import PchipInterpolator

        n, steps, _ = x.shape
        parts = self.n_speed_change + 1
        ratio = numbers(rand, self.max_speed_ratio, n).reshape(n, 1).astype(float)
        speed = rand.uniform(size=(n, parts))
        least, most = speed.min(axis=1, keepdims=True), speed.max(axis=1, keepdims=True)
        # Moved so that the greatest is ratio times the least; one speed where the ratio is 1.
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = speed - (most - ratio * least) / (1 - ratio)
        speed = np.where(ratio == 1, 1.0, moved)
        place = speed.cumsum(axis=1) / speed.sum(axis=1, keepdims=True) * (steps - 1)
        place = np.concatenate([np.zeros((n, 1)), place], axis=1)
        anchors = np.linspace(0, 1, parts + 1) * (steps - 1)
        tau = PchipInterpolator(anchors, place, axis=1)(np.arange(steps))
        warped = None if y is None else interpolated(y, tau).round().astype(int)
        return interpolated(x, tau), warped


class Resize(Augmenter):
    """`size` steps, linearly interpolated, both ends kept; one step is the mean of the ends."""

    shown = ("size",)

    def __init__(
        self, size: int, repeats: int = 1, prob: float = 1.0, seed: int | None = None
    ) -> None:
        super().__init__(repeats, prob, seed)
        self.size = checked("size", size, least=1, whole=True, several=False)

    def length(self, steps: int) -> int:
        return self.size

    def run(self, x: Array, y: Array | None) -> Drawn:
        if self.prob != 1 and np.random.RandomState(self.seed).uniform() > self.prob:
            return x.copy(), None if y is None else y.copy()
        new_x = np.repeat(resized(x, self.size), self.repeats, axis=0)
        if y is None:
            return new_x, None
        new_y = resized(y, self.size)
        if 1 < self.size != y.shape[1]:
            new_y = new_y.round().astype(int)
        return new_x, np.repeat(new_y, self.repeats, axis=0)


class Crop(Augmenter):
    """`size` steps from a random one on, brought to `resize` steps as by Resize; a tuple of sizes
    is drawn from, without its end."""

    shown = ("size", "resize")

    def __init__(
        self,
        size: Any,
        resize: int | None = None,
        repeats: int = 1,
        prob: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(repeats, prob, seed)
        self.size = checked("size", size, least=1, whole=True)
        if resize is not None:
            checked("resize", resize, least=1, whole=True, several=False)
        self.resize = resize

    def length(self, steps: int) -> int:
        if self.resize is not None:
            return self.resize
        if len(sizes(self.size)) > 1:
            raise ValueError(f"resize: None; accepted: a number of steps with size {self.size}")
        return sizes(self.size)[0]

    def run(self, x: Array, y: Array | None) -> Drawn:
        rand = np.random.RandomState(self.seed)
        if self.prob != 1 and rand.uniform() > self.prob:
            return x.copy(), None if y is None else y.copy()
        steps, count = x.shape[1], len(x) * self.repeats
        if max(sizes(self.size)) > steps:
            raise ValueError(f"size: {self.size}; accepted: at most T = {steps}")
        row = np.repeat(np.arange(len(x)), self.repeats)
        taken = rand.choice(sizes(self.size), size=count)
        found = [None if z is None else np.zeros((count, self.length(steps), z.shape[2]))
                 for z in (x, y)]  # fmt: skip
        for size in np.unique(taken):
            alike = taken == size
            start = rand.choice(steps - size + 1, size=alike.sum())
            index = start[:, None] + np.arange(size)
            for z, new in zip((x, y), found, strict=True):
                if z is not None and new is not None:
                    new[alike] = resized(z[row[alike][:, None], index], self.length(steps))
        assert found[0] is not None
        return found[0], found[1]


def interpolated(x: Array, place: Array) -> Array:
    """x (N, T, C) at the steps `place` (N, L), in float64."""
    left = (np.ceil(place).astype(int) - 1).clip(0, x.shape[1] - 2)
    row = np.arange(len(x))[:, None]
    low, high = x[row, left].astype(float), x[row, left + 1].astype(float)
    return (high - low) * (place - left)[..., None] + low


def resized(x: Array, size: int) -> Array:
    steps = x.shape[1]
    if size == steps:
        return x.copy()
    if size == 1:
        return (x[:, :1] + x[:, -1:]) / 2
    place = np.arange(size - 1) / (size - 1) * (steps - 1)
    left = place.astype(int)
    weight = (place - left)[None, :, None]
    inner = x[:, left] * (1.0 - weight) + x[:, np.minimum(left + 1, steps - 1)] * weight
    return np.concatenate([inner, x[:, -1:]], axis=1)
