"""Views that a generator makes of nothing but noise."""

from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks


class GeneratedViews(nn.Module):
    """Two views of a series that no one recorded: G(z) and G(z + sigma e), z and e normal (A Mutual
    Information Perspective on Multiple Latent Variable Generative Models for Positive View
    Generation, 2025; GenView: Enhancing View Quality with Pretrained Generative Model for
    Self-Supervised Learning, 2024).

    A `Views` of every method: of the batch it takes the number of series and their length alone.
    The same seed and sample ids draw the same latents, in any batch.

    Args:
        generator: (N, noise), T -> (N, C, T), with an attribute `noise`: that of `SSGAN`. It is
            called in evaluation mode and gets no gradient.
        sigma: > 0, deviation of the latents between views.
    """

    def __init__(self, generator: nn.Module, sigma: float = 0.3) -> None:
        super().__init__()
        self.generator = generator.requires_grad_(False).eval()
        self.sigma = checks.positive("sigma", sigma)

    def train(self, mode: bool = True) -> "GeneratedViews":
        """The generator stays in evaluation mode."""
        super().train(mode)
        self.generator.eval()
        return self

    @torch.no_grad()
    def forward(
        self, x: Tensor, views: int | None = None, *, seed: int, sample_ids: Tensor
    ) -> Tensor:
        """(N, C, T) -> (views, N, C, T), or (N, C, T) for None: the first is G(z)."""
        count = 1 if views is None else views
        noise: Any = self.generator.noise
        latents = []
        for sample in sample_ids.tolist():
            source = torch.Generator().manual_seed((seed * 1_000_003 + sample) % (1 << 63))
            # One by one: what randn draws depends on how many numbers it is asked for.
            latents.append(
                torch.stack([torch.randn(noise, generator=source) for _ in range(count)])
            )
        drawn = torch.stack(latents, 1).to(x)
        z = torch.cat([drawn[:1], drawn[0] + self.sigma * drawn[1:]])
        made = self.generator(z.flatten(0, 1), x.shape[-1]).unflatten(0, (count, len(x)))
        return made[0] if views is None else made
