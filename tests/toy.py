"""Small inputs for the training tests: series that can be told apart, views from plain torch."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tsssl_fast.data import Dataset
from tsssl_fast.methods import Supervised


class Jitter:
    """Scaled and jittered copies; shows that methods take any callable as views."""

    def __call__(self, x: Tensor, views: int = 2, *, seed: int, sample_ids: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        views = [
            x * (1 + 0.2 * torch.randn(len(x), 1, 1, generator=generator))
            + 0.1 * torch.randn(x.shape, generator=generator)
            for _ in range(views)
        ]
        return torch.stack(views)


def sines(n: int, channels: int, length: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Series (n, channels, length) whose class is the frequency; random phase and noise."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    phase = torch.rand(n, channels, 1, generator=generator) * 2 * torch.pi
    time = torch.linspace(0, 2 * torch.pi, length)
    x = torch.sin(time * (2 + 3 * y)[:, None, None] + phase)
    return x + 0.3 * torch.randn(x.shape, generator=generator), y


def dataset(n: int = 24, channels: int = 3, length: int = 40, classes: int = 3) -> Dataset:
    x_train, y_train = sines(n, channels, length, classes, seed=0)
    x_test, y_test = sines(n, channels, length, classes, seed=1)
    names = tuple(f"class {i}" for i in range(classes))
    return Dataset("sines", x_train, y_train, x_test, y_test, names)


def write_npz(path: Path, **changes: Any) -> None:
    """`dataset` as a file; changes: arrays instead of its, None for none."""
    data = dataset()
    arrays: dict[str, Any] = {
        name: getattr(data, name.lower()).numpy()
        for name in ("X_train", "y_train", "X_test", "y_test")
    }
    arrays |= changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def plain() -> Supervised:
    """A classifier without batch statistics: the mean of two batches' gradients is the whole's."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(120, 8), nn.Tanh())
    return Supervised(encoder, nn.Linear(8, 3))
