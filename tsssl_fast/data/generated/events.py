"""Trains of events: what a process that is Gaussian does not have.

One shape a series, at random places or a nearly constant distance, in a random width and heights:

| shape | at z = (t - place) / width         |
| ----- | ---------------------------------- |
| bump  | exp(-z^2 / 2)                      |
| box   | [abs(z) < 1]                       |
| decay | exp(-z) [z >= 0]                   |
| burst | exp(-z^2 / 2) cos(w z + phase)     |
| step  | [z >= 0]                           |
| ramp  | (1 - z) [0 <= z < 1], a saw's tooth |
"""

import numpy as np

from tsssl_fast.data.generated.kernels import Array, Generator, log_uniform

SHAPES = ("bump", "box", "decay", "burst", "step", "ramp")
MOST_EVENTS = 12


def shape(name: str, z: Array, rng: Generator) -> Array:
    """The shape at z, of any shape."""
    after = (z >= 0.0).astype(np.float64)
    if name == "bump":
        return np.exp(-0.5 * z**2)
    if name == "box":
        return (np.abs(z) < 1.0).astype(np.float64)
    if name == "decay":
        return np.exp(-np.maximum(z, 0.0)) * after
    if name == "burst":
        turn = log_uniform(rng, 1.0, 12.0) * z + rng.uniform(0.0, 2.0 * np.pi)
        return np.exp(-0.5 * z**2) * np.cos(turn)
    if name == "step":
        return after
    return (1.0 - z) * after * (z < 1.0)


def train(length: int, rng: Generator) -> Array:
    """(length,): one to twelve events of one shape."""
    count = int(rng.integers(1, MOST_EVENTS + 1))
    if rng.random() < 0.5:
        places = rng.uniform(0.0, 1.0, count)
    else:
        distance = 1.0 / count
        places = (rng.random() + np.arange(count, dtype=np.float64)) * distance
        places += rng.normal(0.0, 0.05 * distance, count)
    heights = rng.normal(0.0, 1.0, count) if rng.random() < 0.5 else rng.normal(1.0, 0.1, count)
    widths = log_uniform(rng, 0.01, 0.2) * np.exp(rng.normal(0.0, 0.2, count))
    z = (np.arange(length) / length - places[:, None]) / widths[:, None]
    found: Array = heights @ shape(str(rng.choice(SHAPES)), z, rng)
    return found
