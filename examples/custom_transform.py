"""Transforms of one's own in a pipeline, beside those with kernels.

python examples/custom_transform.py
"""

import torch
from series import gestures

from tsssl_fast import augment


def powerline_hum(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """50 Hz of random phase and height at 200 Hz sampling. `generator` makes it reproducible."""
    n, _, steps = x.shape
    phase = 2 * torch.pi * torch.rand(n, 1, 1, generator=generator)
    height = 0.3 * torch.rand(n, 1, 1, generator=generator)
    return x + height * torch.sin(2 * torch.pi * 50 / 200 * torch.arange(steps) + phase)


class RemoveMean(torch.nn.Module):
    """A module without random numbers needs no generator."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(-1, keepdim=True)


pipeline = augment.Compose(
    [
        augment.TimeWarp(0.4, p=0.5),
        powerline_hum,
        augment.OneOf([augment.Jitter(0.1), augment.Drift(0.3), augment.Identity()]),
        RemoveMean(),
    ]
)
x, _ = gestures(6)
print(pipeline)
print(pipeline.explain(x))

views = pipeline(x, views=2, seed=0, step=3)
assert torch.equal(views, pipeline(x, views=2, seed=0, step=3))
assert not torch.equal(views, pipeline(x, views=2, seed=0, step=4))

# Gradients pass through: what a generator of views needs.
x.requires_grad_()
pipeline(x, seed=0).square().sum().backward()
assert x.grad is not None
print(f"views {tuple(views.shape)}, gradient {tuple(x.grad.shape)}")
