"""Contrastive and masked learning in one step."""

import torch
from torch import Tensor, nn

from tsssl_fast.common import checks
from tsssl_fast.encoders import PatchTransformer
from tsssl_fast.losses import NTXentLoss
from tsssl_fast.methods.base import (
    Batch,
    Logs,
    Method,
    Views,
    alignment,
    at_least,
    one_view,
    projector,
)
from tsssl_fast.methods.masked_autoencoder import MaskedAutoencoder
from tsssl_fast.methods.tokens import hidden_patches


class ContrastiveMasked(Method):
    """Two masks of one series: each is rebuilt from its visible patches, and both agree.

        loss = mae_1 + mae_2 + weight NTXent(z_1, z_2)
        z_i = projector([mean, maximum] over the features of the visible patches of mask i)

    Source: Lee et al., NeuroNet, 2024 (masked prediction plus NT-Xent between two masked samplings
    of one series). Deviations: no class token, and no temporal model on top of the encoder.

    Args:
        autoencoder: of which encoder, decoder and ratio are used.
        projector: (N, features of the encoder) -> (N, D).
        loss: (N, D), (N, D) -> scalar.
        views: augmentation before both masks, of which the first view is used, or None.
        weight: of the contrastive term, >= 0.
    """

    encoder: PatchTransformer

    def __init__(
        self,
        autoencoder: MaskedAutoencoder,
        projector: nn.Module,
        loss: nn.Module,
        views: Views | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = autoencoder.encoder
        self.autoencoder = autoencoder
        self.projector = projector
        self.criterion = loss
        self.views = views
        self.weight = checks.non_negative("weight", weight)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        ratio: float = 0.75,
        temperature: float = 0.2,
        weight: float = 1.0,
    ) -> "ContrastiveMasked":
        """The masked autoencoder's recipe and a 256-128 projector."""
        autoencoder = MaskedAutoencoder.recipe(encoder, None, ratio)
        loss = NTXentLoss(temperature=temperature)
        return cls(autoencoder, projector(encoder), loss, views, weight)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        at_least(2, batch)
        self.autoencoder.bf16 = self.bf16
        patches = self.encoder.patches(one_view(self.views, batch))
        hidden = hidden_patches(batch, patches.shape[1], self.autoencoder.ratio, views=2)
        rebuilt, visible = self.autoencoder.reconstruct(
            patches.repeat(2, 1, 1), hidden.flatten(0, 1)
        )
        z1, z2 = self.projector(torch.cat([visible.mean(1), visible.amax(1)], 1)).chunk(2)
        contrast = self.criterion(z1, z2)
        logs = {"reconstruction": rebuilt.detach(), "alignment": alignment(z1, z2)}
        return 2 * rebuilt + self.weight * contrast, logs
