"""Series that the examples learn from: gestures of three axes, made here, of four kinds."""

import torch
from torch import Tensor


def gestures(n: int, steps: int = 128, seed: int = 0) -> tuple[Tensor, Tensor]:
    """x (n, 3, steps) float32 and its kinds (n,) int64 in 0 to 3.

    A kind is a pair of frequencies; phases, heights, the tilt of the axes and noise vary.
    """
    g = torch.Generator().manual_seed(seed)
    kind = torch.randint(0, 4, (n,), generator=g)
    t = torch.linspace(0, 1, steps)
    slow = torch.tensor([1.0, 2.0, 3.0, 4.0])[kind][:, None, None]
    fast = torch.tensor([9.0, 6.0, 9.0, 6.0])[kind][:, None, None]
    phase = 2 * torch.pi * torch.rand(n, 3, 1, generator=g)
    height = 0.5 + torch.rand(n, 3, 1, generator=g)
    wave = torch.sin(2 * torch.pi * slow * t + phase) + 0.5 * torch.sin(2 * torch.pi * fast * t)
    return height * wave + 0.3 * torch.randn(n, 3, steps, generator=g), kind


def neighbours(train_z: Tensor, train_y: Tensor, test_z: Tensor, test_y: Tensor) -> float:
    """Accuracy of the nearest training series by cosine."""
    train_z = torch.nn.functional.normalize(train_z, dim=1)
    nearest = (torch.nn.functional.normalize(test_z, dim=1) @ train_z.T).argmax(1)
    return (train_y[nearest] == test_y).double().mean().item()
