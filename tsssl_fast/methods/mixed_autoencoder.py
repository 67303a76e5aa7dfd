"""MixedAE: patches of several series in one, told apart and rebuilt."""

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.encoders import PatchTransformer
from tsssl_fast.encoders.patch_transformer import transformer
from tsssl_fast.functional import contrastive_loss
from tsssl_fast.methods.base import Batch, Logs, Method, Views, at_least, one_view
from tsssl_fast.methods.tokens import Decoding, check_encoder


def mix_patches(patches: Tensor, group: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Series whose patches come from `group` series of the batch, each of its patches from one.

        mixed_{i,l} = patches_{s(i,l),l};  over the series of a group s(., l) is a permutation, so
        that every patch of the batch appears once

    Args:
        patches: (N, L, P), N a multiple of group. generator: on the CPU.

    Returns:
        (mixed, source): (N, L, P), (N, L) int64 rows of the batch.
    """
    n, places, _ = patches.shape
    if group < 2 or n % group:
        raise ValueError(f"group: {group}; accepted: 2 or more, a divisor of the {n} series")
    order = torch.rand(n // group, group, places, generator=generator).argsort(1)
    first = group * torch.arange(n // group)[:, None, None]
    source = (order + first).view(n, places).to(patches.device)
    return patches.gather(0, source[..., None].expand_as(patches)), source


class MixedAutoencoder(Decoding, Method):
    """Series of mixed patches: which patches come from one series, and each series whole again.

        loss = mean over all patches of (head(decoder(own tokens in their places)) - patch)^2
               + weight homologous contrast

    The contrast: tokens of a mixed series attract where their patches are of the same source, and
    repel its others, `contrastive_loss` within each mixed series. A series is rebuilt from its
    tokens in one of the mixed series, which the step's seed chooses: they have seen their
    neighbours there.
    Source: Mixed Autoencoder for Self-supervised Visual Representation Learning, 2023. Deviations:
    attention is not restricted to likely homologous tokens.

    Args:
        encoder: a PatchTransformer. views: augmentation, the first view is used, or None.
        group: series that are mixed; a batch's last rows that fill no group are left out.
        width: of the decoder. temperature: tau > 0. weight: >= 0.
    """

    encoder: PatchTransformer

    def __init__(
        self,
        encoder: nn.Module,
        views: Views | None = None,
        group: int = 4,
        width: int = 64,
        temperature: float = 0.25,
        weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = tokens = check_encoder(encoder)
        checks.at_least("group", group, 2)
        self.views, self.group = views, group
        self.min_batch = group
        self.temperature = checks.positive("temperature", temperature)
        self.weight = checks.non_negative("weight", weight)
        self.narrow = nn.Linear(tokens.width, width)
        self.project = nn.Linear(tokens.width, width)
        self.token = nn.Parameter(0.02 * torch.randn(width))
        self.decoder = transformer(width, 1, 4)
        self.head = nn.Linear(width, tokens.channels * tokens.patch)

    @classmethod
    def recipe(
        cls, encoder: nn.Module, views: Views | None, group: float = 4, weight: float = 0.1
    ) -> "MixedAutoencoder":
        """A decoder of one layer of width 64."""
        return cls(encoder, views, int(group), weight=weight)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(self.group, batch)
        x = one_view(self.views, batch)
        patches = self.encoder.patches(x[: len(x) - len(x) % self.group])
        n, places, _ = patches.shape
        source = torch.Generator().manual_seed(batch.seed)
        mixed, origin = mix_patches(patches, self.group, source)
        h = self.encode(self.encoder.embed(mixed), self.encoder.blocks)
        # Of each series one mixed row at a time is decoded: its patches there, the token elsewhere.
        row = torch.arange(n, device=x.device)
        picked = origin[row // self.group * self.group + batch.seed % self.group] == row[:, None]
        seen = self.narrow(h)[row // self.group * self.group + batch.seed % self.group]
        y = torch.where(picked[..., None], seen, self.token)
        error = (self.rebuilt(y) - patches.detach()).square().mean()
        contrast = contrastive_loss(
            self.project(h).flatten(0, 1),
            q_ids=origin.flatten() + n * row.repeat_interleave(places),
            q_groups=row.repeat_interleave(places),
            groups="only_same",
            temperature=self.temperature,
            precision=self.precision,
        )
        logs = {"reconstruction": error.detach(), "homologous": contrast.detach()}
        return error + self.weight * contrast, logs
